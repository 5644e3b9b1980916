"""Folders of images as seeded, unpaired training batches (B, 3, H, W) in [-1, 1].

Item i is a pure function of (seed, i): order, crop and flip need no state, so a run may start at any step and worker
processes change nothing.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms.v2 import functional as transforms

from gcl.images.pixels import to_signed, to_tensor


@dataclass(frozen=True)
class Augmentation:
    """The random changes that make a training image of a stored one.

    Attributes:
        load_size: the shorter side, in pixels, to which an image is resized.
        crop_size: the side of the random square that is then cut out of it.
        flip: whether half of the images are mirrored.
        zoom: whether ``load_size`` is only the smallest size: the shorter side is then drawn between it and the image's
            own, so that its logarithm is evenly distributed.
    """

    load_size: int
    crop_size: int
    flip: bool
    zoom: bool = False

    def __call__(self, image: Tensor, random: np.random.Generator) -> Tensor:
        """Maps uint8 (3, H, W) to (3, crop_size, crop_size)."""
        cut = self._zoomed(image, random) if self.zoom else self._resized(image, random)
        return transforms.horizontal_flip(cut) if self.flip and random.random() < 0.5 else cut

    def _resized(self, image: Tensor, random: np.random.Generator) -> Tensor:
        if min(image.shape[1:]) != self.load_size:
            image = transforms.resize(image, [self.load_size], antialias=True)
        return transforms.crop(image, *_random_place(image, self.crop_size, random), self.crop_size, self.crop_size)

    def _zoomed(self, image: Tensor, random: np.random.Generator) -> Tensor:
        shorter = min(image.shape[1:])
        size = math.exp(random.uniform(*map(math.log, sorted((self.load_size, shorter)))))
        # Cutting first costs less than resizing the whole picture, and differs from it only at the border of the cut.
        side = min(round(self.crop_size * shorter / size), shorter)
        place = _random_place(image, side, random)
        return transforms.resized_crop(image, *place, side, side, [self.crop_size] * 2, antialias=True)


def _random_place(image: Tensor, side: int, random: np.random.Generator) -> tuple[int, int]:
    """The first row and column of a random square in ``image`` (3, H, W)."""
    return tuple(int(random.integers(length - side + 1)) for length in image.shape[1:])


class UnpairedImages(Dataset):
    """Pairs of unrelated images of two domains; each domain is reshuffled for every pass over it.

    Args:
        folders: one list of image files per domain.
        length: the number of pairs.
        seed: decides order, crops and flips.
        augmentation: what is done to every image.
    """

    def __init__(
        self,
        folders: tuple[Sequence[Path], Sequence[Path]],
        length: int,
        seed: int,
        augmentation: Augmentation,
    ):
        self.folders, self.length, self.seed, self.augmentation = folders, length, seed, augmentation

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """One image of each domain, (3, side, side) in [-1, 1], where side is that of a crop."""
        if index >= self.length:
            raise IndexError(index)
        return self._image(0, index), self._image(1, index)

    def file(self, domain: int, index: int) -> Path:
        """The file of domain 0 or 1 in pair ``index``."""
        files = self.folders[domain]
        epoch, position = divmod(index, len(files))
        return files[_order(len(files), self.seed, domain, epoch)[position]]

    def _image(self, domain: int, index: int) -> Tensor:
        random = np.random.default_rng([self.seed, domain, index])
        image = self._only[domain] if domain in self._only else to_tensor(self.file(domain, index))
        return to_signed(self.augmentation(image, random))

    @cached_property
    def _only(self) -> dict[int, Tensor]:
        """The picture of each domain that has only one, decoded once."""
        return {domain: to_tensor(files[0]) for domain, files in enumerate(self.folders) if len(files) == 1}


@lru_cache(maxsize=4)
def _order(count: int, seed: int, domain: int, epoch: int) -> np.ndarray:
    """The order of a domain's ``count`` images in one pass over them, (count,)."""
    # The fourth number keeps this random stream apart from those of the crops, which are seeded by three.
    return np.random.default_rng([seed, domain, epoch, 1]).permutation(count)


def batches(
    pairs: UnpairedImages,
    batch_size: int,
    workers: int,
    start: int = 0,
    rank: int = 0,
    processes: int = 1,
    pin_memory: bool = False,
) -> DataLoader:
    """Loads ``pairs`` in order, in batches (B, 3, H, W) of each domain, without the first ``start`` steps.

    Each step takes ``batch_size`` pairs for each of the ``processes``; the loader yields those of process ``rank``.
    ``pin_memory`` speeds up copying batches to a GPU.
    """
    steps = np.arange(start * processes * batch_size, len(pairs)).reshape(-1, processes, batch_size)
    own = steps[:, rank].ravel()  # (steps, processes, batch_size) -> (steps * batch_size)
    return DataLoader(pairs, batch_size, sampler=own, num_workers=workers, pin_memory=pin_memory)
