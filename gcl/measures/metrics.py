"""Folders of 8-bit PNGs to the numbers of the literature, each beside what it was measured with.

FID and KID compare two sets, LPIPS, PSNR and SSIM the pairs of equally named files of two folders, IoU the
class ids of two sets. A number on the bundled judge's features never bears the name of the published metric:
its own ends in ``_small``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from skimage.metrics import peak_signal_noise_ratio
from skimage.metrics import structural_similarity as structural_similarity_index
from torch import Tensor
from torch.utils.data import Dataset
from torch_fidelity import KEY_METRIC_FID, KEY_METRIC_KID_MEAN, calculate_metrics
from torchvision.transforms.v2 import functional as transforms

from gcl.errors import UserError
from gcl.images.decoding import list_images, read_rgb
from gcl.images.pixels import to_signed, to_tensor
from gcl.measures.feature_extractors import FeatureSet, PooledFeatures, perceptual_distance, pooled_features

# The size published KID is given for.
LARGEST_SUBSET = 1000
# Identical images have infinitely many decibels, which neither JSON nor a mean can hold.
MOST_DECIBELS = 100.0


@dataclass(frozen=True)
class Measurement:
    """A number and what it was measured with; ``dataclasses.asdict`` of it is valid JSON.

    Attributes:
        name: of the metric; on the bundled judge's features it ends in ``_small``.
        value: of a set, or the mean over the pairs.
        features: the network with its weights' digest and its dimensions; None where no network has a part.
        library: that computed it, with its version.
        images, reference: sample counts of the two sets.
        resize: side of the square that all images were resized and cropped to; None where none was.
        subset_size: of KID.
        per_image: the value of every pair by its files' stem; None for the value of a set.
        note: what to beware of.
    """

    name: str
    value: float
    features: str | None
    library: str
    images: int
    reference: int
    resize: int | None = None
    subset_size: int | None = None
    per_image: dict[str, float] | None = None
    note: str | None = None


def frechet_and_kernel(
    images: Path,
    reference: Path,
    features: FeatureSet,
    weights: Path | None,
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

    Raises UserError for fewer than two images in a folder, WeightsUnavailable where Inception's weights
    are not to be had.
    """
    chosen = pooled_features(features, weights)
    sets = [_files(folder, at_least=2) for folder in (images, reference)]
    counts = {"images": len(sets[0]), "reference": len(sets[1])}
    side = _common_side([*sets[0], *sets[1], *(file for folder in alike for file in _files(folder, at_least=1))])
    subset_size = min(LARGEST_SUBSET, *counts.values())
    numbers = calculate_metrics(
        input1=_Pixels(sets[0], side),
        input2=_Pixels(sets[1], side),
        fid=True,
        kid=True,
        kid_subset_size=subset_size,
        rng_seed=seed,
        feature_extractor=chosen.extractor,
        feature_extractor_weights_path=chosen.weights,
        batch_size=batch_size,
        cuda=torch.device(device).type == "cuda",
        # Files may change between two runs, and the cache knows them by name only.
        cache=False,
        # All this does here is to read the files without four worker processes.
        save_cpu_ram=True,
        verbose=False,
    )
    note = _bias(chosen, min(counts.values()))
    shared = {"features": chosen.description, "library": _library("torch-fidelity"), "resize": side, **counts}
    return (
        Measurement(f"fid{chosen.suffix}", numbers[KEY_METRIC_FID], note=note, **shared),
        Measurement(f"kid{chosen.suffix}", numbers[KEY_METRIC_KID_MEAN], subset_size=subset_size, **shared),
    )


def lpips_distances(first: Path, second: Path, features: FeatureSet, weights: Path | None, device: str) -> Measurement:
    """LPIPS between the equally named PNGs of two folders, 0 for the same image.

    ``small`` is the package's formula on the judge's layers without linear weights: the squared difference of
    unit-normalised channels, summed over channels and layers, averaged over positions.

    Raises UserError for folders that do not pair up, WeightsUnavailable where AlexNet has no weights.
    """
    chosen = perceptual_distance(features, weights)
    network = chosen.network.to(device)

    @torch.no_grad()
    def distance(image: Tensor, other: Tensor) -> float:
        return network(*(to_signed(pixels.to(device))[None] for pixels in (image, other))).item()

    return _over_pairs(chosen.name, distance, first, second, chosen.description, "lpips")


def peak_signal_to_noise(images: Path, truth: Path) -> Measurement:
    """PSNR in decibels of the PNGs in ``images`` against the equally named ones in ``truth``.

    Every image's value is cut at 100 dB before the mean: identical images would have infinitely many.
    Raises UserError for folders that do not pair up.
    """

    def decibels(image: Tensor, other: Tensor) -> float:
        with np.errstate(divide="ignore"):
            ratio = peak_signal_noise_ratio(other.numpy(), image.numpy(), data_range=255)
        return min(float(ratio), MOST_DECIBELS)

    return _over_pairs("psnr", decibels, images, truth, None, "scikit-image")


def structural_similarity(images: Path, truth: Path) -> Measurement:
    """SSIM (Wang et al., 2004) of the PNGs in ``images`` against the equally named ones in ``truth``.

    Over uniform windows of 7 x 7 pixels, averaged over the channels; 1 for identical images.
    Raises UserError for folders that do not pair up.
    """

    def similarity(image: Tensor, other: Tensor) -> float:
        return float(structural_similarity_index(other.numpy(), image.numpy(), data_range=255, channel_axis=0))

    return _over_pairs("ssim", similarity, images, truth, None, "scikit-image")


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


def _files(folder: Path, at_least: int) -> list[Path]:
    files = [path for path in list_images(folder) if path.suffix.lower() == ".png"]
    if len(files) < at_least:
        raise UserError(f"{folder} holds {len(files)} PNG images; at least {at_least} are needed")
    return files


def _over_pairs(
    name: str,
    measure: Callable[[Tensor, Tensor], float],
    first: Path,
    second: Path,
    features: str | None,
    package: str,
) -> Measurement:
    """The mean of ``measure`` over the pairs of equally named images, uint8 (3, H, W) each."""
    values = {}
    for stem, files in _pairs(first, second).items():
        image, other = (to_tensor(file) for file in files)
        if image.shape != other.shape:
            raise UserError(f"{files[0]} has (3, H, W) {tuple(image.shape)}, {files[1]} {tuple(other.shape)}")
        values[stem] = measure(image, other)
    count, mean = len(values), float(np.mean(list(values.values())))
    return Measurement(name, mean, features, _library(package), count, count, per_image=values)


def _pairs(first: Path, second: Path) -> dict[str, tuple[Path, Path]]:
    """The equally named files of two folders by stem; UserError names the first one that stands alone."""
    ours, theirs = ({file.stem: file for file in _files(folder, at_least=1)} for folder in (first, second))
    for here, there, folder in ((ours, theirs, second), (theirs, ours, first)):
        alone = sorted(here.keys() - there.keys())
        if alone:
            raise UserError(f"{folder} has no {alone[0]}.png to go with {here[alone[0]]}")
    return {stem: (file, theirs[stem]) for stem, file in ours.items()}


def _library(package: str) -> str:
    return f"{package} {version(package)}"


def _bias(chosen: PooledFeatures, samples: int) -> str | None:
    if samples >= chosen.dimensions:
        return None
    fewer = f"{samples} samples are fewer than the {chosen.dimensions} feature dimensions"
    return f"biased, since {fewer}; compare by KID instead"
