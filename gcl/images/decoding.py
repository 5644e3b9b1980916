"""Image files: any supported image is decoded to upright, opaque 8-bit RGB; PNGs are written whole or not at all.

The content decides, not the suffix: a PNG named .jpg is read, a HEIC named .jpg is not.

| a file with | becomes |
| --- | --- |
| 8-bit RGB (JPEG, PNG, WebP, AVIF, GIF, BMP, TIFF) | its pixels |
| gray, black and white, 2 or 4 bits | three equal channels, black at 0 and white at 255 |
| a palette | the palette's colours |
| transparency: a channel, palette entries or one colour | composited onto white |
| 16 bits per channel, gray or colour; 12-bit gray TIFF | scaled by 255/65535 (255/4095) and rounded |
| 16-bit gray with alpha (PNG), premultiplied alpha (TIFF) | its high bytes, at most one step off |
| 16 bits, but nothing brighter than 4095 | the same, nearly black, with a remark |
| 10 or 12 bits (AVIF) | the high bits |
| 16-bit colours in separate planes (TIFF) | refused: Pillow misreads them |
| signed, 32-bit or floating-point pixels (TIFF) | refused: nothing says which value is white |
| a fourth band called alpha (TIFF without a profile) | the same as any transparency, with a remark |
| bands that are neither colour nor alpha (TIFF) | the colours, with a remark |
| other layouts (TIFF) | refused with a description of the layout |
| CMYK, YCCK; in JPEG inverted, as Adobe stores them | what the inks leave of white, unless a profile says otherwise |
| YCbCr, Lab (TIFF) | converted; Lab needs no profile |
| a colour profile other than sRGB | converted to sRGB; where that is impossible, read as sRGB, with a remark |
| an EXIF or XMP orientation, 2 to 8 | turned and mirrored upright; damaged EXIF is ignored |
| several frames or pages (GIF, PNG, WebP, AVIF, TIFF, MPO) | the first, with a remark |
| more than 178,956,970 pixels | refused before anything is decoded |
| anything else, nothing, or a truncated image | refused with the reason |
"""

import re
import warnings
from io import BytesIO
from pathlib import Path
from threading import Lock

import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageOps, UnidentifiedImageError

from gcl.errors import UserError
from gcl.files import write_whole
from gcl.images.tiff_layout import describe_layout, layout_of

SUFFIXES = (".png", ".jpg", ".jpeg", ".jfif", ".webp", ".avif", ".gif", ".bmp", ".tif", ".tiff")

FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "GIF", "BMP", "TIFF")
"""The only decoders of Pillow that may read a file; one of the others starts external programs."""

WARNING_FILTERS = Lock()
"""Guards Python's warning filters, which all threads share."""

FIRST_FRAME = "several frames or pages, of which only the first is used"
ODD_PROFILE = "a colour profile that does not fit, so the colours are read as sRGB"
NEARLY_BLACK = (
    "16 bits per channel but nothing brighter than 4095 of 65535, so nearly black; rescale it if it holds 10 or 12 bits"
)
ALPHA_BAND = "a fourth band called alpha, taken as transparency"
OTHER_BANDS = "bands besides the colours, which are left out"
"""The remarks that :func:`decode` may make."""

BRIGHTEST_OF_12_BITS = 4095

HEIC = re.compile(rb"....ftyp(heic|heix|hevc|hevx|heim|heis|mif1|msf1)", re.DOTALL)
"""The first bytes of a HEIC file."""

DEEP_COLOURS = re.compile(r"(RGB|RGBX|RGBA|CMYK);16[LBN]")
"""Pillow's names for layouts of 16-bit colours, which end in the byte order: little, big or native."""

DEEP_WITH_HIGH_BYTES = re.compile(r"(LA|RGBa);16[LB]")
"""Pillow's names for layouts of 16-bit colours and alpha of which it decodes only the high bytes."""

OTHER_ORDER = {"L": "B", "B": "L", "N": "B"}

GRAY_STEP = {"L;2": 85, "L;4": 17}
"""The step between neighbouring 2-bit or 4-bit grays after conversion to 8 bits."""


class BadImageError(UserError):
    """A file that cannot be used as an image, and the reason."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, reason)
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


def list_images(folder: Path) -> list[Path]:
    """The image files directly in ``folder``, sorted by name; hidden files and other suffixes are ignored."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


def read_rgb(path: Path) -> Image.Image:
    """The image at ``path`` as upright, opaque 8-bit RGB. Raises BadImageError."""
    return decode(path)[0]


def decode(path: Path) -> tuple[Image.Image, list[str]]:
    """Decodes ``path`` fully to upright, opaque 8-bit RGB; also returns remarks on what the result leaves out.

    Raises BadImageError for a file that is empty, truncated, not an image, too large or unreadable.
    """
    image, _, remarks = decode_with_alpha(path)
    return image, remarks


def decode_with_alpha(path: Path) -> tuple[Image.Image, Image.Image | None, list[str]]:
    """Returns what :func:`decode` does and, between the two, the alpha that was composited onto white.

    The alpha has mode L, the size of the image, and 255 where the image is opaque; it is None if that is everywhere.
    """
    # The warnings are about metadata that does not matter here and about large images below the limit.
    with WARNING_FILTERS, warnings.catch_warnings(action="ignore"):
        try:
            if not path.is_file():
                raise BadImageError(path, "not a file, or a broken link")
            if path.stat().st_size == 0:
                raise BadImageError(path, "empty file")
            # Of a name, Pillow would map the file into memory, and turn the pixels of such TIFFs wrongly.
            with path.open("rb") as stream, Image.open(stream, formats=FORMATS) as image:
                return _upright(image, path)
        except BadImageError:
            raise
        # A decoder may raise any exception on a damaged file.
        except Exception as error:
            raise BadImageError(path, _reason(error, path)) from error


def _reason(error: Exception, path: Path) -> str:
    if isinstance(error, Image.DecompressionBombError):
        return f"more than {2 * Image.MAX_IMAGE_PIXELS:,} pixels"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    with path.open("rb") as stream:
        is_heic, layout = HEIC.match(stream.read(12)), describe_layout(stream)
    if not isinstance(error, UnidentifiedImageError):
        told = f"cannot be decoded: {str(error) or type(error).__name__}"
        return f"{told} (a TIFF of {layout})" if layout else told
    if layout:
        return f"a TIFF of {layout} cannot be read; save it as gray or RGB with 8 or 16 bits per channel"
    if is_heic:
        return "a HEIC image, which cannot be read; convert it to JPEG or PNG"
    return "not an image that can be read; PNG, JPEG, WebP, AVIF, GIF, BMP and TIFF can"


def _upright(image: Image.Image, path: Path) -> tuple[Image.Image, Image.Image | None, list[str]]:
    # load() discards the layout, so it is read first.
    layout = _layout(image)
    image.load()
    remarks = [FIRST_FRAME] if getattr(image, "is_animated", False) else []
    remarks += _band_remarks(image, layout)
    opaque, alpha = _opaque(_eight_bits(image, layout, path, remarks))
    # Lab is the space that profiles convert to, so it needs none.
    profile = None if image.mode == "LAB" else image.info.get("icc_profile")
    try:
        rgb = to_srgb(opaque, profile)
    except (OSError, ImageCms.PyCMSError):
        rgb = opaque.convert("RGB")
        remarks.append(ODD_PROFILE)
    for upright in (rgb,) if alpha is None else (rgb, alpha):
        # Otherwise a profile that no longer applies, or the place of a photograph, could be saved with the pixels.
        upright.info.clear()
        upright.getexif()[ExifTags.Base.Orientation] = image.getexif().get(ExifTags.Base.Orientation)
        ImageOps.exif_transpose(upright, in_place=True)
    return rgb, alpha, remarks


def _layout(image: Image.Image) -> str:
    """Pillow's name for the order of bits and bytes in the file."""
    arguments = image.tile[0].args if image.tile else ""
    return str(arguments[0] if isinstance(arguments, tuple) and arguments else arguments)


def _band_remarks(image: Image.Image, layout: str) -> list[str]:
    """Remarks on the bands of a TIFF: whatever the file calls its fourth band, it may be infrared, for example."""
    if image.format != "TIFF":
        return []
    remarks = [OTHER_BANDS] if "X" in layout else []
    if image.mode == "RGBA" and "icc_profile" not in image.info and image.getextrema()[-1][0] < 255:
        remarks.append(ALPHA_BAND)
    return remarks


def _eight_bits(image: Image.Image, layout: str, path: Path, remarks: list[str]) -> Image.Image:
    """``image`` with 8 bits a channel and in a mode that Pillow converts from without loss."""
    tags = getattr(image, "tag_v2", {})
    if image.mode in ("I", "F"):
        reason = "signed, 32-bit or floating-point pixels have no fixed white; convert the image to 8 or 16 bits"
        raise BadImageError(path, f"{layout_of(tags)}: {reason}")
    if image.mode.startswith("I;16"):
        white = 4095 if tags.get(ExifTags.Base.BitsPerSample) == (12,) else 65535
        pixels = np.asarray(image)[..., None]
        white_is_zero = tags.get(ExifTags.Base.PhotometricInterpretation) == 0
        return _scaled(image, white - pixels if white_is_zero else pixels, white, remarks)
    if tags.get(ExifTags.Base.PlanarConfiguration) == 2 and max(tags[ExifTags.Base.BitsPerSample]) > 8:
        raise BadImageError(path, f"{layout_of(tags)} cannot be read; save it with interleaved channels")
    if DEEP_COLOURS.fullmatch(layout):
        return _scaled(image, np.asarray(image).astype(np.uint16) << 8 | _low_bytes(path), 65535, remarks)
    if DEEP_WITH_HIGH_BYTES.fullmatch(layout):
        brightest = max(high for _, high in image.getextrema()[:-1])
        remarks += [NEARLY_BLACK] if brightest <= BRIGHTEST_OF_12_BITS >> 8 else []
    if layout in GRAY_STEP and "transparency" in image.info:
        # Pillow widens the pixels but not the one gray that is transparent.
        image.info["transparency"] *= GRAY_STEP[layout]
    return image


def _low_bytes(path: Path) -> np.ndarray:
    """The low bytes (H, W, C) of 16-bit colours: Pillow keeps the high ones, so it is given the wrong byte order."""
    with Image.open(path, formats=FORMATS) as image:
        image.tile = [tile._replace(args=_other_order(tile.args)) for tile in image.tile]
        return np.asarray(image)


def _other_order(arguments: str | tuple) -> tuple:
    layout, *others = (arguments,) if isinstance(arguments, str) else arguments
    return (layout[:-1] + OTHER_ORDER[layout[-1]], *others)


def _scaled(image: Image.Image, deep: np.ndarray, white: int, remarks: list[str]) -> Image.Image:
    """Scales ``deep`` (H, W, C) from 0 ... ``white`` to 0 ... 255; the colour that ``image`` calls transparent gets
    alpha 0."""
    colours = deep[..., :3]
    if white > BRIGHTEST_OF_12_BITS >= colours.max() and image.mode != "CMYK":
        remarks.append(NEARLY_BLACK)
    pixels = (deep.astype(np.float32) * 255 / white).round().astype(np.uint8)
    scaled = Image.frombytes("L" if deep.shape[-1] == 1 else image.mode, image.size, pixels.tobytes())
    transparent = image.info.get("transparency")
    if transparent is not None:
        scaled.putalpha(Image.fromarray((deep != transparent).any(axis=-1) * np.uint8(255)))
    return scaled


def _opaque(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Converts any 8-bit mode to L, RGB or CMYK, the modes of colour profiles; puts transparency on white.

    Also returns the alpha, None if all of it is 255.
    """
    if image.mode == "CMYK":
        return image.copy(), None
    gray, alpha = image.mode in ("1", "L", "LA"), None
    if image.has_transparency_data:
        image = image.convert("RGBA")
        alpha = image.getchannel("A")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    is_opaque = alpha is None or alpha.getextrema()[0] == 255
    return image.convert("L" if gray else "RGB"), None if is_opaque else alpha


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Converts mode L, RGB or CMYK to sRGB; OSError or PyCMSError if ``profile`` is damaged or for another mode."""
    if profile is None:
        return image.convert("RGB")
    source = ImageCms.ImageCmsProfile(BytesIO(profile))
    if ImageCms.getProfileDescription(source).startswith("sRGB"):
        return image.convert("RGB")
    if source.profile.xcolor_space == "RGB " and image.mode == "L":
        image = image.convert("RGB")
    return ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")


def save_png(pixels: Image.Image | np.ndarray, path: Path) -> None:
    """Writes ``pixels`` (an image, or (H, W[, 3]) uint8) to ``path``, whole or not at all."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    encoded = BytesIO()
    image.save(encoded, format="PNG")
    write_whole(path, encoded.getvalue())
