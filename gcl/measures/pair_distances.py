"""LPIPS, structure, PSNR and SSIM: how far each image in a folder is from the image of the same name in another."""

from collections.abc import Callable, Mapping
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from skimage.metrics import peak_signal_noise_ratio
from skimage.metrics import structural_similarity as structural_similarity_index
from torch import Tensor
from torchvision.transforms.v2 import functional as transforms

from gcl.errors import UserError
from gcl.images.pixels import to_signed, to_tensor
from gcl.measures.features.feature_extractors import PerceptualDistance
from gcl.measures.measurement import Measurement, bounded_pixels, library_version, png_files, shrinking
from gcl.measures.self_similarity import self_similarity_difference

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

    return _over_pairs(distance, _pairs(first, second), perceptual.description, "lpips")


def structure_distances(first: Path, second: Path, perceptual: PerceptualDistance, device: str) -> Measurement:
    """The structure distance between PNGs of the same name in two folders, 0 for identical images.

    It is the mean squared difference of the self-similarities of the network's last map (after Tumanyan et al., CVPR
    2022). UserError if the folders do not pair up.
    """
    distance = _structure_distance(perceptual, device)
    return _over_pairs(distance, _pairs(first, second), f"{perceptual.description}; last map", "torch")


def structure_to_next(folder: Path, perceptual: PerceptualDistance, device: str) -> Measurement:
    """The structure distance from each PNG in ``folder`` to the next one by name, from the last one to the first.

    The other image is resized to the size of the first. UserError if there are fewer than two images.
    """
    distance, files = _structure_distance(perceptual, device), png_files(folder, at_least=2)
    pairs = {file.stem: (file, other) for file, other in zip(files, [*files[1:], files[0]], strict=True)}
    return _over_pairs(distance, pairs, f"{perceptual.description}; last map", "torch", resized=True)


def _structure_distance(perceptual: PerceptualDistance, device: str) -> Callable[[Tensor, Tensor], float]:
    """Compares two uint8 images (3, H, W) by the last map of the network behind ``perceptual``."""
    network = perceptual.network.to(device)

    @torch.no_grad()
    def distance(image: Tensor, other: Tensor) -> float:
        inputs = (network.scaling_layer(to_signed(pixels.to(device))[None]) for pixels in (image, other))
        return self_similarity_difference(*(network.net(images)[-1][0] for images in inputs))

    return distance


def peak_signal_to_noise(images: Path, truth: Path) -> Measurement:
    """PSNR in decibels of the PNGs in ``images`` against those of the same name in ``truth``.

    Each image's value is capped at 100 dB before averaging, because identical images would have infinity. UserError if
    the folders do not pair up.
    """

    def decibels(image: Tensor, other: Tensor) -> float:
        with np.errstate(divide="ignore"):
            ratio = peak_signal_noise_ratio(other.numpy(), image.numpy(), data_range=255)
        return min(float(ratio), MOST_DECIBELS)

    return _over_pairs(decibels, _pairs(images, truth), None, "scikit-image")


def structural_similarity(images: Path, truth: Path) -> Measurement:
    """SSIM (Wang et al., 2004) of the PNGs in ``images`` against those of the same name in ``truth``.

    It is computed over uniform windows of 7 x 7 pixels and averaged over the channels; 1 for identical images.
    UserError if the folders do not pair up.
    """

    def similarity(image: Tensor, other: Tensor) -> float:
        return float(structural_similarity_index(other.numpy(), image.numpy(), data_range=255, channel_axis=0))

    return _over_pairs(similarity, _pairs(images, truth), None, "scikit-image")


def _over_pairs(
    measure: Callable[[Tensor, Tensor], float],
    pairs: Mapping[str, tuple[Path, Path]],
    features: str | None,
    package: str,
    resized: bool = False,
) -> Measurement:
    """The mean of ``measure`` over ``pairs`` of images, uint8 (3, H, W) each; large ones are shrunk for ``features``.

    UserError if the images of a pair differ in size, unless the second ones are to be ``resized``.
    """
    values = {}
    for stem, files in pairs.items():
        image, other = (to_tensor(file) if features is None else bounded_pixels(file) for file in files)
        if resized:
            other = transforms.resize(other, list(image.shape[1:]), antialias=True)
        if image.shape != other.shape:
            raise UserError(f"{files[0]} has shape {tuple(image.shape)}, but {files[1]} has {tuple(other.shape)}")
        values[stem] = measure(image, other)
    count, mean = len(values), float(np.mean(list(values.values())))
    note = None if features is None else shrinking(chain(*pairs.values()))
    return Measurement(mean, features, library_version(package), count, count, per_image=values, note=note)


def _pairs(first: Path, second: Path) -> dict[str, tuple[Path, Path]]:
    """Pairs the files of the same name in two folders, by stem; UserError names the first file without a partner."""
    ours, theirs = ({file.stem: file for file in png_files(folder, at_least=1)} for folder in (first, second))
    for here, there, folder in ((ours, theirs, second), (theirs, ours, first)):
        alone = sorted(here.keys() - there.keys())
        if alone:
            raise UserError(f"{folder} has no {alone[0]}.png to go with {here[alone[0]]}")
    return {stem: (file, theirs[stem]) for stem, file in ours.items()}
