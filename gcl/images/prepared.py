"""A prepared data set: what ``gcl prepare`` wrote, read through one object."""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from gcl.images.decoding import list_images
from gcl.images.manifest import FILE, Manifest, read_manifest


class Prepared:
    """The ``folder`` of a prepared data set. Files are read only when asked for, and the manifest only once."""

    def __init__(self, folder: Path):
        self.folder = folder

    @property
    def exists(self) -> bool:
        """Whether the folder was prepared."""
        return (self.folder / FILE).is_file()

    @cached_property
    def manifest(self) -> Manifest:
        """Its inventory; UserError if the folder was never prepared."""
        return read_manifest(self.folder)

    def split(self, name: str) -> Path:
        """The folder of trainA, trainB, testA, testB, validationA or validationB."""
        return self.folder / name

    def images(self, split: str) -> list[Path]:
        """The images of a split in the order of their names."""
        return list_images(self.split(split))

    def truth(self, image: Path) -> Path:
        """The true translation of the test image ``image`` of A, where the manifest says that testB is ``paired``."""
        return self.split("testB") / image.name

    @property
    def mask_folder(self) -> Path:
        """The masks of the test images of A, under their names."""
        return self.folder / "masks"

    def masks(self) -> Iterator[np.ndarray]:
        """The class ids (H, W) of every test image of A, where the manifest says that there are ``masks``."""
        return (np.asarray(Image.open(path)) for path in list_images(self.mask_folder))
