"""Checkerboards and other grids of 2, 4 or 8 pixels, which generators leave where they enlarge their features.

A grid is a pattern that repeats after exactly so many pixels in both directions, which in the spectrum of a block of
32x32 pixels are single points. Their strength is compared with that of the frequencies around them, in decibels (10
log10 of the power), and its mean over all pictures with that of the inputs and of real images.
"""

from collections.abc import Sequence

import numpy as np
from scipy.fft import fft2
from scipy.signal import windows

from gcl.diagnosis.evidence import Evidence, Picture
from gcl.diagnosis.yardsticks import excess

BLOCK = 32
PERIODS = (2, 4, 8)
LUMA = (0.299, 0.587, 0.114)

WINDOW = np.outer(*2 * [windows.hann(BLOCK, sym=False)])
"""It spreads a single frequency to its direct neighbours only."""

NOTHING = np.zeros(1)
"""A yardstick too, because the spectrum of sharp images falls so steeply that blurring them looks like a grid."""

VISIBLE = 1.0
"""The power of noise of one grey level in 255, added to every frequency: fainter grids are not seen."""


def grid(evidence: Evidence) -> float | None:
    """By how many decibels the strongest grid of the translations stands out more than that of the same period in the
    inputs or in real B, or than its surroundings, two standard errors deducted. None if fewer than two
    translations, or no images of another set, are as large as a block: what a single picture shows may be a grid."""
    sets = [_prominences(pictures) for pictures in (evidence.translations, evidence.inputs, evidence.real)]
    if len(sets[0]) < 2 or not all(map(len, sets)):
        return None
    return max(excess(*(grids[:, period] for grids in sets), NOTHING) for period in range(len(PERIODS)))


def _prominences(pictures: Sequence[Picture]) -> np.ndarray:
    """How far each grid stands out in each picture that is not smaller than a block, in decibels: (pictures, periods).

    Blocks are averaged, since those of one picture resemble each other, and a standard error is one of independent
    values.
    """
    large = [picture.middle for picture in pictures if min(picture.middle.shape[:2]) >= BLOCK]
    return np.array([_spectra(pixels).mean(axis=0) @ CONTRASTS for pixels in large])


def _spectra(pixels: np.ndarray) -> np.ndarray:
    """The spectra in decibels of the blocks of ``pixels`` (H, W, 3), side by side: (blocks, BLOCK * BLOCK)."""
    blocks = np.lib.stride_tricks.sliding_window_view(pixels @ np.array(LUMA, np.float32), (BLOCK, BLOCK))
    blocks = blocks[::BLOCK, ::BLOCK].reshape(-1, BLOCK, BLOCK)
    blocks = (blocks - blocks.mean(axis=(1, 2), keepdims=True)) * WINDOW.astype(np.float32)
    power = np.square(np.abs(fft2(blocks))) / np.square(WINDOW).sum()
    return 10 * np.log10(power + VISIBLE).reshape(len(blocks), -1)


def _contrast(period: int) -> np.ndarray:
    """Weights (BLOCK * BLOCK,) that take the mean over the frequencies of a grid less that over those around them."""
    weights = np.zeros((BLOCK, BLOCK))
    frequencies = _frequencies(period) - _frequencies(period // 2)
    for place in frequencies:
        around = _around(place)
        weights[place] += 1 / len(frequencies)
        for neighbour in around:
            weights[neighbour] -= 1 / len(frequencies) / len(around)
    return weights.ravel()


def _frequencies(period: int) -> set[tuple[int, int]]:
    """All frequencies of patterns that repeat after ``period`` pixels, with those of its divisors and the constant."""
    multiples = range(0, BLOCK, BLOCK // period)
    return {(down, right) for down in multiples for right in multiples}


def _around(place: tuple[int, int]) -> list[tuple[int, int]]:
    """The frequencies at a distance of 2 or 3, into which the window spreads nothing of ``place`` or the constant."""
    steps = [(down, right) for down in range(-3, 4) for right in range(-3, 4) if max(abs(down), abs(right)) > 1]
    near = [((place[0] + down) % BLOCK, (place[1] + right) % BLOCK) for down, right in steps]
    return [(down, right) for down, right in near if max(min(down, BLOCK - down), min(right, BLOCK - right)) > 1]


CONTRASTS = np.stack([_contrast(period) for period in PERIODS], axis=1)  # (BLOCK * BLOCK, periods)
