"""A handful of numbers that describe an image without its content: its border, its colours, its sharpness."""

import numpy as np
from PIL import Image, ImageStat
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


def numbers_of(image: Image.Image) -> dict[str, float]:
    """The numbers of an RGB ``image`` by name; :mod:`gcl.checks.groups` says what they are."""
    width, height = (side // INSIDE for side in image.size)
    inside = image.crop((width, height, image.width - width, image.height - height))
    return _border(image) | _colours(inside) | _sharpness(_gray(inside))


def _gray(image: Image.Image) -> np.ndarray:
    """The gray values of ``image``, (H, W) in 0 to 255."""
    return np.asarray(image.convert("L"), np.float32)


def _border(image: Image.Image) -> dict[str, float]:
    thickness = max(1, min(image.size) // BORDER)
    ring = Image.new("L", image.size, 255)
    ring.paste(0, (thickness, thickness, image.width - thickness, image.height - thickness))
    red, green, blue = ImageStat.Stat(image, ring).mean
    gray = _gray(image)
    return {
        "border_red": red,
        "border_green": green,
        "border_blue": blue,
        "border_spread": ImageStat.Stat(image.convert("L"), ring).stddev[0],
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


def _colours(image: Image.Image) -> dict[str, float]:
    red, green, blue = ImageStat.Stat(image).mean
    gray = ImageStat.Stat(image.convert("L"))
    return {
        "brightness": gray.mean[0],
        "contrast": gray.stddev[0],
        "saturation": ImageStat.Stat(image.convert("HSV")).mean[1] * 100 / 255,
        "warmth": red - blue,
        "greenness": green - (red + blue) / 2,
    }


def _sharpness(gray: np.ndarray) -> dict[str, float]:
    """Sharpness, relative to the contrast, so that a dark image is not a blurred one; and the noise level."""
    noise = np.abs(convolve(gray, NOISE_KERNEL))
    return {
        "sharpness": float(laplace(gray).std() / max(gray.std(), 1.0)),
        "noise": float(np.median(noise) / 6 / MEDIAN_OF_NORMAL),
    }
