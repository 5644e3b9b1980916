"""A handful of numbers that describe an image without its content: its border, its colours, its sharpness."""

import numpy as np
from scipy.ndimage import convolve, laplace

BORDER = 32
"""The border is the outermost 1/32 of the shorter side, at least one pixel."""

INSIDE = 8
"""The inside leaves out 1/8 of the image on every side, so that no border has a part in its numbers."""

PLAIN = 6.0
"""A row or column is plain if its gray values, 0 to 255, have no larger standard deviation, which JPEG stays below."""

NOISE_KERNEL = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
"""Immerkær's kernel (Fast noise variance estimation, 1996): blind to edges; of white noise it gives 6 sigma."""

MEDIAN_OF_NORMAL = 0.6745
"""The median of a standard normal variable's absolute value."""


def numbers_of(pixels: np.ndarray) -> dict[str, float]:
    """The numbers of an image (H, W, 3) in 0 to 255, by name; :mod:`gcl.checks.groups` says what they are."""
    pixels = pixels.astype(np.float32)
    return _border(pixels) | _colours(_inside(pixels)) | _sharpness(_inside(pixels).mean(axis=2))


def _inside(pixels: np.ndarray) -> np.ndarray:
    height, width = (side // INSIDE for side in pixels.shape[:2])
    return pixels[height : pixels.shape[0] - height, width : pixels.shape[1] - width]


def _border(pixels: np.ndarray) -> dict[str, float]:
    height, width, _ = pixels.shape
    thickness = max(1, min(height, width) // BORDER)
    ring = np.ones((height, width), bool)
    ring[thickness:-thickness, thickness:-thickness] = False
    border, gray = pixels[ring], pixels.mean(axis=2)
    red, green, blue = border.mean(axis=0)
    return {
        "border_red": float(red),
        "border_green": float(green),
        "border_blue": float(blue),
        "border_spread": float(border.mean(axis=1).std()),
        "plain_above_and_below": _plain(gray),
        "plain_left_and_right": _plain(gray.T),
    }


def _plain(gray: np.ndarray) -> float:
    """The plain rows at the top or at the bottom of ``gray`` (H, W), whichever are fewer, in percent of all rows."""
    return 100 * min(_plain_rows(gray), _plain_rows(gray[::-1]), len(gray) // 2) / len(gray)


def _plain_rows(gray: np.ndarray) -> int:
    """The number of rows, from the first one on, that are plain and as bright as the first."""
    alike = (gray.std(axis=1) < PLAIN) & (np.abs(gray.mean(axis=1) - gray[0].mean()) < PLAIN)
    return len(gray) if alike.all() else int(alike.argmin())


def _colours(pixels: np.ndarray) -> dict[str, float]:
    gray, most = pixels.mean(axis=2), pixels.max(axis=2)
    red, green, blue = pixels.reshape(-1, 3).mean(axis=0)
    saturation = (most - pixels.min(axis=2)) / np.maximum(most, 1)
    return {
        "brightness": float(gray.mean()),
        "contrast": float(gray.std()),
        "saturation": 100 * float(saturation.mean()),
        "warmth": float(red - blue),
        "greenness": float(green - (red + blue) / 2),
    }


def _sharpness(gray: np.ndarray) -> dict[str, float]:
    """Sharpness, relative to the contrast, so that a dark image is not a blurred one; and the noise level."""
    noise = np.abs(convolve(gray, NOISE_KERNEL))
    return {
        "sharpness": float(laplace(gray).std() / max(gray.std(), 1.0)),
        "noise": float(np.median(noise) / 6 / MEDIAN_OF_NORMAL),
    }
