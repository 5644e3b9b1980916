"""The numbers by which A and B may differ without their content, in groups, and what a difference in each one means."""

from typing import NamedTuple


class Number(NamedTuple):
    """A number of an image: its name, what it is, and its unit."""

    name: str
    words: str
    unit: str = ""


class Group(NamedTuple):
    """Numbers that belong together.

    ``may_be_the_task`` says whether a translation may be meant to change them. ``advice`` says what to do about a
    difference that is not meant.
    """

    name: str
    words: str
    may_be_the_task: bool
    advice: str
    numbers: tuple[Number, ...]


GROUPS = (
    Group(
        "border",
        "the border",
        False,
        "Crop all images alike, or give them the same border; as it is, a discriminator needs to see nothing else.",
        (
            Number("border_red", "red of the border", " of 255"),
            Number("border_green", "green of the border", " of 255"),
            Number("border_blue", "blue of the border", " of 255"),
            Number("border_spread", "spread of the border's brightness"),
            Number("plain_above_and_below", "plain strip above and below", " % of the height"),
            Number("plain_left_and_right", "plain strip left and right", " % of the width"),
        ),
    ),
    Group(
        "compression",
        "the compression",
        False,
        "Take both domains from files of one kind and quality if you can. Saving the JPEGs as PNG does not help, "
        "because their traces stay in the pixels. A data.image_size of half the photographs' size or less makes them "
        "fainter; so does saving every image once as JPEG in the lower of the two qualities.",
        (
            Number("jpeg", "JPEG files", " %"),
            Number("jpeg_quality", "quality of the JPEG"),
            Number("lossless", "losslessly compressed files", " %"),
        ),
    ),
    Group(
        "resolution",
        "the size",
        False,
        "Training shrinks all images to one shorter side and crops squares from them, so the size itself will not "
        "show. What comes with it may: coarser detail, and objects that are larger or smaller. Take both domains in "
        "one size and shape if you can, or crop them to it.",
        (
            Number("shorter_side", "shorter side", " pixels"),
            Number("elongation", "longer side over shorter side"),
            Number("shape", "width over height"),
        ),
    ),
    Group(
        "colour",
        "brightness and colour",
        True,
        "Take both domains in the same light and with the same white balance, or correct them to it.",
        (
            Number("brightness", "brightness", " of 255"),
            Number("contrast", "contrast (standard deviation)", " of 255"),
            Number("saturation", "saturation", " %"),
            Number("warmth", "red minus blue"),
            Number("greenness", "green minus the mean of red and blue"),
        ),
    ),
    Group(
        "sharpness",
        "sharpness and noise",
        True,
        "Choose images of like focus and noise, or shrink all of them further with data.image_size.",
        (
            Number("sharpness", "sharpness (Laplacian over contrast)"),
            Number("noise", "noise (standard deviation)", " of 255"),
        ),
    ),
)
