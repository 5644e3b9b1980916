"""Gives the translation of an image on white the transparency that the image had."""

import numpy as np


def with_alpha(on_white: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Colours and alpha, (H, W, 4) uint8, that look like ``on_white`` (H, W, 3) uint8 when they lie on white.

    In numbers 0 ... 1, the colour C with C alpha + (1 - alpha) = on_white, or the nearest one that exists. Without that
    division, half-transparent edges would keep the white and show it as a fringe on anything dark. Where ``alpha``
    (H, W) uint8 is 0, the colour is white.
    """
    colours = np.where(alpha[..., None] > 0, on_white, np.uint8(255))
    partly = (alpha > 0) & (alpha < 255)
    darkness = (255 - on_white[partly]) / (alpha[partly, None] / 255)  # (N, 3)
    colours[partly] = 255 - darkness.round().clip(max=255)
    return np.dstack([colours, alpha])
