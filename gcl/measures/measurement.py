"""What every measurement has in common: the files it is made of, its number, and what that was measured with."""

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from gcl.errors import UserError
from gcl.images.decoding import list_images


@dataclass(frozen=True)
class Measurement:
    """A number and what it was measured with; ``dataclasses.asdict`` of it is valid JSON.

    Attributes:
        value: of a set, or the mean over the pairs.
        features: the network with its weights' digest and its dimensions; None where no network has a part.
        library: that computed it, with its version.
        images, reference: sample counts of the two sets.
        resize: side of the square that all images were resized and cropped to; None where none was.
        subset_size: of KID.
        per_image: the value of every pair by its files' stem; None for the value of a set.
        note: what to beware of.
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
    """The installed ``package`` with its version, as stands beside the numbers that it computes."""
    return f"{package} {version(package)}"


def png_files(folder: Path, at_least: int) -> list[Path]:
    """The PNGs of ``folder`` by name; UserError if there are fewer than ``at_least``."""
    files = [path for path in list_images(folder) if path.suffix.lower() == ".png"]
    if len(files) < at_least:
        raise UserError(f"{folder} holds {len(files)} PNG images; at least {at_least} are needed")
    return files
