"""LPIPS, PSNR and SSIM: how far each image in a folder is from the image of the same name in another."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from skimage.metrics import peak_signal_noise_ratio
from skimage.metrics import structural_similarity as structural_similarity_index
from torch import Tensor

from gcl.errors import UserError
from gcl.images.pixels import to_signed, to_tensor
from gcl.measures.feature_extractors import PerceptualDistance
from gcl.measures.measurement import Measurement, library_version, png_files

MOST_DECIBELS = 100.0
"""The cap on PSNR, which is infinite for identical images; neither JSON nor a mean can hold that."""


def lpips_distances(first: Path, second: Path, perceptual: PerceptualDistance, device: str) -> Measurement:
    """LPIPS (Zhang et al., 2018) between PNGs of the same name in two folders, 0 for identical images.

    UserError if the folders do not pair up.
    """
    network = perceptual.network.to(device)

    @torch.no_grad()
    def distance(image: Tensor, other: Tensor) -> float:
        return network(*(to_signed(pixels.to(device))[None] for pixels in (image, other))).item()

    return _over_pairs(distance, first, second, perceptual.description, "lpips")


def peak_signal_to_noise(images: Path, truth: Path) -> Measurement:
    """PSNR in decibels of the PNGs in ``images`` against those of the same name in ``truth``.

    Each image's value is capped at 100 dB before averaging, because identical images would have infinity. UserError if
    the folders do not pair up.
    """

    def decibels(image: Tensor, other: Tensor) -> float:
        with np.errstate(divide="ignore"):
            ratio = peak_signal_noise_ratio(other.numpy(), image.numpy(), data_range=255)
        return min(float(ratio), MOST_DECIBELS)

    return _over_pairs(decibels, images, truth, None, "scikit-image")


def structural_similarity(images: Path, truth: Path) -> Measurement:
    """SSIM (Wang et al., 2004) of the PNGs in ``images`` against those of the same name in ``truth``.

    It is computed over uniform windows of 7 x 7 pixels and averaged over the channels; 1 for identical images.
    UserError if the folders do not pair up.
    """

    def similarity(image: Tensor, other: Tensor) -> float:
        return float(structural_similarity_index(other.numpy(), image.numpy(), data_range=255, channel_axis=0))

    return _over_pairs(similarity, images, truth, None, "scikit-image")


def _over_pairs(
    measure: Callable[[Tensor, Tensor], float], first: Path, second: Path, features: str | None, package: str
) -> Measurement:
    """The mean of ``measure`` over the pairs of images with the same name, uint8 (3, H, W) each."""
    values = {}
    for stem, files in _pairs(first, second).items():
        image, other = (to_tensor(file) for file in files)
        if image.shape != other.shape:
            raise UserError(f"{files[0]} has shape {tuple(image.shape)}, but {files[1]} has {tuple(other.shape)}")
        values[stem] = measure(image, other)
    count, mean = len(values), float(np.mean(list(values.values())))
    return Measurement(mean, features, library_version(package), count, count, per_image=values)


def _pairs(first: Path, second: Path) -> dict[str, tuple[Path, Path]]:
    """Pairs the files of the same name in two folders, by stem; UserError names the first file without a partner."""
    ours, theirs = ({file.stem: file for file in png_files(folder, at_least=1)} for folder in (first, second))
    for here, there, folder in ((ours, theirs, second), (theirs, ours, first)):
        alone = sorted(here.keys() - there.keys())
        if alone:
            raise UserError(f"{folder} has no {alone[0]}.png to go with {here[alone[0]]}")
    return {stem: (file, theirs[stem]) for stem, file in ours.items()}
