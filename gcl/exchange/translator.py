"""A generator for other programs: images come and go as encoded bytes, as base64 text or as arrays.

It needs no file of the project besides a model folder, and nothing of MLflow, which loads it by ``_load_pyfunc``.
"""

import base64
import binascii
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from PIL import Image

from gcl.errors import UserError
from gcl.images.decoding import BadImageError, read_rgb
from gcl.images.pixels import to_pixels, to_signed
from gcl.networks.inference import translate_image
from gcl.networks.model_folder import load_generator

EXPECTED = "an image is expected as the bytes of a PNG, as their base64 text, or as numbers 0 ... 255 in an array"


class Translator:
    """The generator of a model folder, on the GPU if there is one, in float32."""

    def __init__(self, folder: Path):
        """UserError if the folder holds no model that can be used."""
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._generator = load_generator(folder).to(self._device, memory_format=torch.channels_last)

    def predict(self, images: Any) -> Any:
        """Translates an image, or several, of any size; the same kind comes out as went in.

        Args:
            images: the bytes of a PNG, or of another image file that `gcl translate` reads; their base64 text; an
                array (H, W, 3) or (B, H, W, 3) of integers 0 ... 255; or a list of these.

        Returns:
            the bytes of a PNG, their base64 text, an array uint8 of the same shape, or a list of these.

        UserError for anything else, and if a translation is not finite.
        """
        if isinstance(images, np.ndarray) and images.dtype.kind in "OSU":
            # MLflow's server turns a text into an array without dimensions, and a list of texts into one with one.
            images = images.tolist()
        match images:
            case bytes():
                return _encoded(self._translated(_decoded(images)))
            case str():
                return base64.b64encode(self.predict(_from_base64(images))).decode("ascii")
            case list():
                return [self.predict(image) for image in images]
            case np.ndarray():
                pixels = _checked(images)
                return self._translated(pixels) if pixels.ndim == 3 else np.stack([*map(self._translated, pixels)])
        raise UserError(f"{EXPECTED}, not {type(images).__name__}")

    def _translated(self, pixels: np.ndarray) -> np.ndarray:
        """Translates (H, W, 3) uint8."""
        signed = to_signed(torch.from_numpy(pixels).permute(2, 0, 1)[None]).to(self._device)  # (1, 3, H, W)
        translated = translate_image(self._generator, signed)
        if not translated.isfinite().all():
            raise UserError("the translation holds values that are not finite")
        return to_pixels(translated)[0].permute(1, 2, 0).cpu().numpy()  # (H, W, 3)


def _load_pyfunc(folder: str) -> Translator:
    """What MLflow calls to load the model."""
    return Translator(Path(folder))


def _decoded(content: bytes) -> np.ndarray:
    with TemporaryDirectory() as folder:
        file = Path(folder, "image")
        file.write_bytes(content)
        try:
            return np.array(read_rgb(file))
        except BadImageError as error:
            raise UserError(f"the image of {len(content)} bytes: {error.reason}") from error


def _encoded(pixels: np.ndarray) -> bytes:
    content = BytesIO()
    Image.fromarray(pixels).save(content, format="PNG")
    return content.getvalue()


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except binascii.Error as error:
        raise UserError(f"a text that is not base64 ({error}); {EXPECTED}") from error


def _checked(images: np.ndarray) -> np.ndarray:
    """``images`` as uint8; UserError unless they are integers 0 ... 255 of shape (H, W, 3) or (B, H, W, 3)."""
    shaped = images.ndim in (3, 4) and images.shape[-1] == 3 and images.size > 0
    if not shaped or images.dtype.kind not in "iu" or images.min() < 0 or images.max() > 255:
        raise UserError(
            f"an array of {images.dtype} and shape {images.shape}; integers 0 ... 255 of shape (H, W, 3) or "
            "(B, H, W, 3) are expected"
        )
    return images.astype(np.uint8)
