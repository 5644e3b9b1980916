"""What all measurements have in common: the files they read, the value, and what it was measured with."""

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from gcl.errors import UserError
from gcl.images.decoding import list_images


@dataclass(frozen=True)
class Measurement:
    """A value and what it was measured with; ``dataclasses.asdict`` of it is valid JSON.

    Attributes:
        value: the value of the set, or the mean over the pairs.
        features: the network, with the digest of its weights and its dimensions; None if no network is involved.
        library: the library that computed the value, with its version.
        images, reference: the numbers of samples in the two sets.
        resize: the side of the square that all images were resized and cropped to; None if they were not.
        subset_size: the size of KID's subsets.
        per_image: the value of every pair, by the stem of its file names; None for the value of a set.
        note: a caution about the value.
    """

    value: float
    features: str | None
    library: str
    images: int
    reference: int
    resize: int | None = None
    subset_size: int | None = None
    per_image: dict[str, float] | None = None
    note: str | None = None


def library_version(package: str) -> str:
    """The name and version of the installed ``package``, as shown beside the values that it computes."""
    return f"{package} {version(package)}"


def png_files(folder: Path, at_least: int) -> list[Path]:
    """The PNGs in ``folder``, sorted by name; UserError if there are fewer than ``at_least``."""
    files = [path for path in list_images(folder) if path.suffix.lower() == ".png"]
    if len(files) < at_least:
        raise UserError(f"{folder} holds {len(files)} PNG images; at least {at_least} are needed")
    return files
