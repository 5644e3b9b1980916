"""What the symptoms are looked for in: test images, their translations, real images of B, and the discriminator's loss.

Large images are kept in two views of at most 256 pixels a side: the whole, averaged over blocks of pixels, and the
middle as it is. Grids of single pixels are only visible in the second.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from gcl.errors import UserError
from gcl.images.decoding import read_rgb
from gcl.images.spreading import spread_out

MOST = 100
"""The most images of a set that are looked at: those at even distances in the order of their names."""

SIDE = 256
"""The longest side of either view, in pixels."""

THUMBNAIL = 32
"""The side of the thumbnails by which different images are compared, in pixels."""


@dataclass(frozen=True)
class Picture:
    """One image: the ``whole`` and its ``middle``, each (H, W, 3) uint8; the same pixels if the image is small."""

    whole: np.ndarray
    middle: np.ndarray

    @cached_property
    def halved(self) -> np.ndarray:
        """The means of all 2x2 pixels, (H / 2, W / 2, 3) in [0, 1]; the noise of compression hardly shows in them."""
        return np.asarray(Image.fromarray(self.whole).reduce(2)) / 255

    @cached_property
    def thumbnail(self) -> np.ndarray:
        """(THUMBNAIL, THUMBNAIL, 3) in [0, 1], whatever the image's shape."""
        resized = Image.fromarray(self.whole).resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
        return np.asarray(resized) / 255


@dataclass(frozen=True)
class Evidence:
    """All that a diagnosis looks at.

    Attributes:
        inputs, translations: test images of A and their translations, in the same order and of the same sizes.
        real: training images of B.
        discriminator: its loss at every row of the training's curves, (rows,).
        saturated: the loss below which a discriminator teaches the generator nothing.
    """

    inputs: Sequence[Picture]
    translations: Sequence[Picture]
    real: Sequence[Picture]
    discriminator: np.ndarray
    saturated: float


def read_evidence(
    inputs: Sequence[Path],
    translation: Callable[[str], Path],
    real: Sequence[Path],
    discriminator: np.ndarray,
    saturated: float,
) -> Evidence:
    """Reads at most MOST of each set of images; ``translation`` finds a file by the stem of its input's name.

    Raises UserError for a translation of another size than its input.
    """
    inputs = spread_out(inputs, MOST)
    pictures = [read_picture(path) for path in inputs]
    files = [translation(path.stem) for path in inputs]
    translations = [read_picture(path) for path in files]
    for path, before, after in zip(files, pictures, translations, strict=True):
        if before.whole.shape != after.whole.shape or before.middle.shape != after.middle.shape:
            raise UserError(f"{path}: not of the same size as its input; run: gcl translate")
    of_b = [read_picture(path) for path in spread_out(real, MOST)]
    return Evidence(pictures, translations, of_b, discriminator, saturated)


def read_picture(path: Path) -> Picture:
    """The two views of the image at ``path``."""
    image = read_rgb(path)
    width, height = image.size
    left, top = (max(0, (side - SIDE) // 2) for side in (width, height))
    middle = image.crop((left, top, left + min(SIDE, width), top + min(SIDE, height)))
    whole = image.reduce(-(-max(width, height) // SIDE))
    return Picture(np.asarray(whole), np.asarray(middle))
