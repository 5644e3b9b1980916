"""FID and KID: how far two sets of images lie apart, seen through one vector per image."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset
from torch_fidelity import KEY_METRIC_FID, KEY_METRIC_KID_MEAN, calculate_metrics
from torchvision.transforms.v2 import functional as transforms

from gcl.images.decoding import read_rgb
from gcl.measures.feature_extractors import PooledFeatures
from gcl.measures.measurement import Measurement, library_version, png_files

LARGEST_SUBSET = 1000
"""The subset size that published KID is given for."""


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

    KID is the mean over torch-fidelity's 100 random subsets of min(1000, images, references) images, drawn
    without replacement by ``seed``; not multiplied by anything. Images of several sizes, in one folder or
    between the two, are all resized and centre-cropped to a square of the smallest side found, also in the
    folders of ``alike``, whose numbers these are to be compared with. Any device but CUDA means the CPU.

    Raises UserError for fewer than two images in a folder.
    """
    sets = [png_files(folder, at_least=2) for folder in (images, reference)]
    counts = {"images": len(sets[0]), "reference": len(sets[1])}
    side = _common_side([*sets[0], *sets[1], *(file for folder in alike for file in png_files(folder, at_least=1))])
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
        # Files may change between two runs, and the cache knows them by name only.
        cache=False,
        # All this does here is to read the files without four worker processes.
        save_cpu_ram=True,
        verbose=False,
    )
    note = _bias(features, min(counts.values()))
    shared = {"features": features.description, "library": library_version("torch-fidelity"), "resize": side, **counts}
    return (
        Measurement(numbers[KEY_METRIC_FID], note=note, **shared),
        Measurement(numbers[KEY_METRIC_KID_MEAN], subset_size=subset_size, **shared),
    )


class _Pixels(Dataset):
    """Files as uint8 (3, H, W), or as squares of ``side`` as samples_resize_and_crop would make them.

    torch-fidelity's own listing of a folder takes hidden files in, and follows links before it sorts, so
    that the subsets of KID would depend on how DVC linked the files.
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


def _common_side(files: Sequence[Path]) -> int | None:
    """None for images of one size, else the smallest side found."""
    sizes = {read_rgb(file).size for file in files}
    return None if len(sizes) == 1 else min(min(size) for size in sizes)


def _bias(features: PooledFeatures, samples: int) -> str | None:
    if samples >= features.dimensions:
        return None
    fewer = f"{samples} samples are fewer than the {features.dimensions} feature dimensions"
    return f"biased, since {fewer}; compare by KID instead"
