"""Makes ICC profiles byte by byte, by the format's specification (ICC.1:2001), and the sRGB that they mean."""

import struct
from collections.abc import Mapping, Sequence

import numpy as np
from skimage.color import xyz2lab

PAPER_AND_INKS = {
    (0, 0, 0, 0): (255, 255, 255),
    (255, 0, 0, 0): (20, 160, 220),
    (0, 255, 0, 0): (215, 20, 130),
    (0, 0, 255, 0): (250, 230, 20),
    (255, 255, 0, 0): (50, 50, 140),
    (0, 0, 0, 255): (35, 31, 32),
}
"""What these inks look like, in sRGB, to a press. Without a profile, cyan would be (0, 255, 255)."""

ADOBE_TO_XYZ = [[0.57667, 0.18556, 0.18823], [0.29734, 0.62736, 0.07529], [0.02703, 0.07069, 0.99134]]
SRGB_TO_XYZ = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
"""The matrices of both specifications, for the white D65."""

SRGB_TO_XYZ_D50 = [[0.43607, 0.38506, 0.14308], [0.22250, 0.71688, 0.06062], [0.01393, 0.09710, 0.71417]]

ADOBE_GAMMA = 563 / 256


def adobe_profile() -> bytes:
    """Adobe RGB (1998): the primaries of the published profile, adapted to the white D50."""
    primaries = {"r": (0.60974, 0.31111, 0.01947), "g": (0.20528, 0.62567, 0.06087), "b": (0.14919, 0.06322, 0.74457)}
    tags = {f"{name}XYZ": _xyz(values) for name, values in primaries.items()}
    return _profile("mntr", "RGB ", "XYZ ", tags | {f"{name}TRC": _gamma(ADOBE_GAMMA) for name in primaries})


def gray_profile(gamma: float) -> bytes:
    """Grays whose light is their value to the power of ``gamma``."""
    return _profile("mntr", "GRAY", "XYZ ", {"kTRC": _gamma(gamma)})


def press_profile() -> bytes:
    """Four inks whose full shades look as PAPER_AND_INKS says, and black in all other combinations."""
    grid = np.zeros((2, 2, 2, 2, 3))
    for inks, colour in PAPER_AND_INKS.items():
        light = _light(np.array(colour) / 255)
        grid[tuple(ink // 255 for ink in inks)] = xyz2lab(light @ np.transpose(SRGB_TO_XYZ_D50), illuminant="D50")
    stored = (grid * [2.55, 1, 1] + [0, 128, 128]).round().clip(0, 255).astype(np.uint8)
    table, identity = bytes(range(256)), _fixed((1, 0, 0, 0, 1, 0, 0, 0, 1))
    lut = b"mft1" + struct.pack(">4x4B", 4, 3, 2, 0) + identity + 4 * table + stored.tobytes() + 3 * table
    return _profile("prtr", "CMYK", "Lab ", {"A2B0": lut})


def srgb_of_adobe(pixels: np.ndarray) -> np.ndarray:
    """The sRGB (..., 3) in 0 ... 255 of Adobe RGB ``pixels`` (..., 3); colours that sRGB lacks are clipped."""
    light = (pixels / 255) ** ADOBE_GAMMA @ np.transpose(ADOBE_TO_XYZ) @ np.linalg.inv(np.transpose(SRGB_TO_XYZ))
    return 255 * encoded(light.clip(0, 1))


def encoded(light: np.ndarray) -> np.ndarray:
    """sRGB in 0 ... 1 of linear ``light`` in 0 ... 1 (IEC 61966-2-1)."""
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def _light(srgb: np.ndarray) -> np.ndarray:
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def _profile(kind: str, space: str, connection: str, tags: Mapping[str, bytes]) -> bytes:
    name = b"made for tests\0"
    description = b"desc" + struct.pack(">4xI", len(name)) + name + bytes(78)
    tags = {"desc": description, "cprt": b"text\0\0\0\0none\0", "wtpt": _xyz((0.9642, 1, 0.8249)), **tags}
    table, data = struct.pack(">I", len(tags)), b""
    for tag, content in tags.items():
        table += tag.encode() + struct.pack(">II", 132 + 12 * len(tags) + len(data), len(content))
        data += content + bytes(-len(content) % 4)
    head = struct.pack(">4xI", 0x02400000) + f"{kind}{space}{connection}".encode()
    head += struct.pack(">6H4s28x", 2000, 1, 1, 0, 0, 0, b"acsp") + _fixed((0.9642, 1, 0.8249)) + bytes(48)
    return struct.pack(">I", 4 + len(head + table + data)) + head + table + data


def _xyz(values: Sequence[float]) -> bytes:
    return b"XYZ \0\0\0\0" + _fixed(values)


def _gamma(value: float) -> bytes:
    return b"curv" + struct.pack(">4xIH", 1, round(256 * value))


def _fixed(values: Sequence[float]) -> bytes:
    """Numbers of 16 bits before and 16 after the point."""
    return struct.pack(f">{len(values)}i", *(round(65536 * value) for value in values))
