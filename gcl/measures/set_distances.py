"""FID and KID: how far apart two sets of images are, judged by one feature vector per image."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from torch_fidelity import KEY_METRIC_FID, KEY_METRIC_KID_MEAN, calculate_metrics
from torch_fidelity.metric_kid import kid_features_to_metric
from torch_fidelity.utils import create_feature_extractor, get_featuresdict_from_dataset
from torchvision.transforms.v2 import functional as transforms

from gcl.images.decoding import read_rgb
from gcl.measures.features.feature_extractors import PooledFeatures
from gcl.measures.measurement import Measurement, library_version, png_files

LARGEST_SUBSET = 1000
"""The subset size with which KID is published."""


def frechet_and_kernel(
    images: Path,
    reference: Path,
    features: PooledFeatures,
    batch_size: int,
    seed: int,
    device: str,
    alike: Sequence[Path] = (),
) -> tuple[Measurement, Measurement]:
    """FID (Heusel et al., 2017) and KID (Binkowski et al., 2018) between the PNGs of two folders.

    KID is the mean over torch-fidelity's 100 random subsets of min(1000, images, references) images, drawn without
    replacement by ``seed``. It is not multiplied by any factor. ``alike`` are folders whose values are to be compared
    with these. Unless all images in all of these folders have the same size, they are resized and centre-cropped to a
    square with the smallest side found in any of them, and the notes of both say so. Any device but CUDA means the CPU.

    UserError if one of the two folders holds fewer than two images.
    """
    sets = [png_files(folder, at_least=2) for folder in (images, reference)]
    counts = {"images": len(sets[0]), "reference": len(sets[1])}
    compared = [*sets[0], *sets[1], *(file for folder in alike for file in png_files(folder, at_least=1))]
    side, resizing = _common_side({file: read_rgb(file).size for file in compared})
    subset_size = min(LARGEST_SUBSET, *counts.values())
    numbers = calculate_metrics(
        input1=_Pixels(sets[0], side),
        input2=_Pixels(sets[1], side),
        fid=True,
        kid=True,
        kid_subset_size=subset_size,
        rng_seed=seed,
        feature_extractor=features.extractor,
        feature_extractor_weights_path=features.weights,
        batch_size=batch_size,
        cuda=torch.device(device).type == "cuda",
        # The cache knows files only by name, but their contents may change between two runs.
        cache=False,
        # The only effect here is that no worker processes are started to read the files.
        save_cpu_ram=True,
        verbose=False,
    )
    notes = filter(None, (_bias(features, min(counts.values())), resizing))
    shared = {"features": features.description, "library": library_version("torch-fidelity"), "resize": side, **counts}
    return (
        Measurement(numbers[KEY_METRIC_FID], note="; ".join(notes) or None, **shared),
        Measurement(numbers[KEY_METRIC_KID_MEAN], note=resizing, subset_size=subset_size, **shared),
    )


class KernelReference:
    """Images to which many sets of images are compared by KID, with features that are computed once.

    The values are those of :func:`frechet_and_kernel` with the same arguments. ``reference`` are at least two PNGs, and
    with the PNGs ``alike`` they have the sizes of all images that will be compared.
    """

    def __init__(
        self,
        reference: Sequence[Path],
        features: PooledFeatures,
        batch_size: int,
        seed: int,
        device: str,
        alike: Sequence[Path] = (),
    ):
        side, _ = _common_side({file: read_rgb(file).size for file in (*reference, *alike)})
        self._vectors_of, self._seed = PooledVectors(features, side, batch_size, device), seed
        self._vectors = self._vectors_of(reference)

    def kernel_distance(self, images: Sequence[Path]) -> float:
        """KID between ``images``, at least two, and the reference."""
        distance = kid_features_to_metric(
            self._vectors_of(images),
            self._vectors,
            kid_subset_size=min(LARGEST_SUBSET, len(images), len(self._vectors)),
            rng_seed=self._seed,
            verbose=False,
        )
        return distance[KEY_METRIC_KID_MEAN]


class PooledVectors:
    """The vectors by which FID and KID compare images, which are cropped to ``side`` pixels if that is given.

    The network is loaded once. Any device but CUDA means the CPU.
    """

    def __init__(self, features: PooledFeatures, side: int | None, batch_size: int, device: str):
        self._side, self._batch_size, self._cuda = side, batch_size, torch.device(device).type == "cuda"
        self._layer = str(features.dimensions)
        self._extractor = create_feature_extractor(
            features.extractor,
            [self._layer],
            cuda=self._cuda,
            feature_extractor_weights_path=features.weights,
            verbose=False,
        )

    def __call__(self, images: Sequence[Path]) -> Tensor:
        """One vector for each of the PNGs ``images``, (N, dimensions)."""
        pixels = _Pixels(images, self._side)
        found = get_featuresdict_from_dataset(
            pixels, self._extractor, self._batch_size, self._cuda, save_cpu_ram=True, verbose=False
        )
        return found[self._layer]


class _Pixels(Dataset):
    """Files as uint8 (3, H, W), cropped to squares of ``side`` as torch-fidelity's samples_resize_and_crop would.

    torch-fidelity's own listing of a folder includes hidden files and resolves links before it sorts, so KID's subsets
    would depend on how DVC linked the files.
    """

    def __init__(self, files: Sequence[Path], side: int | None) -> None:
        self.files, self.side = files, side

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Tensor:
        image = read_rgb(self.files[index])
        if self.side is not None:
            image = transforms.center_crop(transforms.resize(image, [self.side]), [self.side])
        return transforms.pil_to_tensor(image)


def _common_side(sizes: Mapping[Path, tuple[int, int]]) -> tuple[int | None, str | None]:
    """The smallest side found and what to say of it; None and None if all images have the same size."""
    if len(set(sizes.values())) == 1:
        return None, None
    sides = {file: min(size) for file, size in sizes.items()}
    smallest, median = min(sides, key=sides.get), float(np.median(list(sides.values())))
    side, name = sides[smallest], f"{smallest.parent.name}/{smallest.name}"
    if side == max(sides.values()):
        return side, f"images of different shapes were cropped to their central {side} x {side} pixels"
    told = f"images of different sizes were resized and cropped to {side} x {side} pixels, the smallest being {name}"
    if side < median / 2:
        told += f", which is less than half of the median shorter side, {median:g}: leave it out or replace it"
    return side, f"{told}; data.image_size gives all images one shorter side"


def _bias(features: PooledFeatures, samples: int) -> str | None:
    if samples >= features.dimensions:
        return None
    fewer = f"{samples} samples are fewer than the {features.dimensions} feature dimensions"
    return f"biased, since {fewer}; compare by KID instead"
