"""Folders of images as seeded, unpaired training batches (B, 3, H, W) in [-1, 1].

Item i is a pure function of (seed, i): order, crop and flip need no state, so a run may start at any step and worker
processes change nothing.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms.v2 import functional as transforms

from gcl.images.pixels import to_signed, to_tensor


def augment(image: Tensor, load_size: int, crop_size: int, flip: bool, random: np.random.Generator) -> Tensor:
    """Resizes the shorter side of ``image`` (3, H, W) to ``load_size`` and crops a random square of ``crop_size``.

    With ``flip``, half of the images are mirrored.
    """
    if min(image.shape[1:]) != load_size:
        image = transforms.resize(image, [load_size], antialias=True)
    _, height, width = image.shape
    top = int(random.integers(height - crop_size + 1))
    left = int(random.integers(width - crop_size + 1))
    image = transforms.crop(image, top, left, crop_size, crop_size)
    return transforms.horizontal_flip(image) if flip and random.random() < 0.5 else image


class UnpairedImages(Dataset):
    """Pairs of unrelated images of two domains; each domain is reshuffled for every pass over it.

    Args:
        folders: one list of image files per domain.
        length: the number of pairs.
        seed: decides order, crops and flips.
        load_size, crop_size, flip: see :func:`augment`.
    """

    def __init__(
        self,
        folders: tuple[Sequence[Path], Sequence[Path]],
        length: int,
        seed: int,
        load_size: int,
        crop_size: int,
        flip: bool,
    ):
        self.folders, self.length, self.seed = folders, length, seed
        self.load_size, self.crop_size, self.flip = load_size, crop_size, flip

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """One image of each domain, (3, crop_size, crop_size) in [-1, 1]."""
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
        image = to_tensor(self.file(domain, index))
        return to_signed(augment(image, self.load_size, self.crop_size, self.flip, random))


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
