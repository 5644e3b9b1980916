"""Colour profiles of all three kinds are converted to sRGB, as the formulas of the colour spaces have it."""

import numpy as np
import pytest
from PIL import Image

from gcl.images.decoding import decode
from tests.colour_profiles import PAPER_AND_INKS, adobe_profile, encoded, gray_profile, press_profile, srgb_of_adobe
from tests.pictures import gray, on_white, saved, tiff

RGB = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
ADOBE, GRAY, PRESS = adobe_profile(), gray_profile(1.8), press_profile()
RAMP = np.arange(256, dtype=np.uint8).reshape(16, 16)
OPAQUE = np.full_like(RAMP, 255)
PRINTED = np.repeat(np.repeat(np.uint8([list(PAPER_AND_INKS)]), 16, axis=0), 16, axis=1)
INKS = Image.frombytes("CMYK", PRINTED.shape[1::-1], PRINTED.tobytes())
LOOK = np.repeat(np.repeat(np.array([list(PAPER_AND_INKS.values())]), 16, axis=0), 16, axis=1)
LIT = gray(255 * encoded((RAMP / 255) ** 1.8))


@pytest.mark.parametrize(
    "content, expected, tolerance",
    [
        pytest.param(saved(RGB, "PNG", icc_profile=ADOBE), srgb_of_adobe(RGB), 2, id="RGB, PNG"),
        pytest.param(saved(RGB, "TIFF", icc_profile=ADOBE), srgb_of_adobe(RGB), 2, id="RGB, TIFF"),
        pytest.param(
            tiff(RGB.astype(np.uint16) * 257, photometric="rgb", iccprofile=ADOBE),
            srgb_of_adobe(RGB),
            2,
            id="16-bit RGB, TIFF",
        ),
        pytest.param(
            saved(np.dstack([RGB, RAMP]), "PNG", icc_profile=ADOBE),
            srgb_of_adobe(on_white(np.dstack([RGB, RAMP]))),
            2,
            id="RGB with alpha, PNG",
        ),
        pytest.param(saved(RAMP, "PNG", icc_profile=GRAY), LIT, 2, id="gray, PNG"),
        pytest.param(saved(RAMP, "JPEG", quality=100, icc_profile=GRAY), LIT, 3, id="gray, JPEG"),
        pytest.param(saved(np.dstack([RAMP, OPAQUE]), "PNG", icc_profile=GRAY), LIT, 2, id="gray with alpha, PNG"),
        pytest.param(tiff(RAMP.astype(np.uint16) * 257, iccprofile=GRAY), LIT, 2, id="16-bit gray, TIFF"),
        pytest.param(saved(INKS, "TIFF", icc_profile=PRESS), LOOK, 6, id="CMYK, TIFF"),
        pytest.param(saved(INKS, "JPEG", quality=100, subsampling=0, icc_profile=PRESS), LOOK, 6, id="CMYK, JPEG"),
        pytest.param(
            tiff(PRINTED.astype(np.uint16) * 257, photometric="separated", iccprofile=PRESS),
            LOOK,
            6,
            id="16-bit CMYK, TIFF",
        ),
    ],
)
def test_a_profile_is_converted_to_srgb(tmp_path, content, expected, tolerance):
    (tmp_path / "image").write_bytes(content)
    image, remarks = decode(tmp_path / "image")
    assert remarks == [] and "icc_profile" not in image.info
    assert np.abs(np.asarray(image) - expected).max() <= tolerance
