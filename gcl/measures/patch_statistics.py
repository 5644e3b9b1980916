"""The single-image FID (SIFID): how far apart two single pictures are, judged by their patches."""

from pathlib import Path

import torch
from torch import Tensor
from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_features_to_statistics, fid_statistics_to_metric

from gcl.errors import UserError
from gcl.images.pixels import to_signed
from gcl.measures.features.feature_extractors import PerceptualDistance
from gcl.measures.measurement import Measurement, bounded_pixels, library_version, png_files, shrinking


def single_image_frechet(images: Path, reference: Path, perceptual: PerceptualDistance, device: str) -> Measurement:
    """The Fréchet distance between the patches of the only PNGs in two folders (Shaham et al., *SinGAN*, ICCV 2019).

    A picture's patches are the positions of the first map of the network behind ``perceptual``, one vector each; those
    of either picture are taken as normally distributed. Published values are on Inception's features.

    UserError if a folder holds any other number of PNGs than one.
    """
    files = [_only(folder) for folder in (images, reference)]
    perceptual.network.to(device)

    @torch.no_grad()
    def patches(file: Path) -> Tensor:
        first, *_ = perceptual.maps(to_signed(bounded_pixels(file).to(device))[None])
        return first[0].flatten(1).T.double().cpu()  # (1, C, H', W') -> (H'W', C)

    vectors = [patches(file) for file in files]
    statistics = [fid_features_to_statistics(of_picture) for of_picture in vectors]
    return Measurement(
        fid_statistics_to_metric(*statistics, verbose=False)[KEY_METRIC_FID],
        f"{perceptual.description}; first map, {len(vectors[0])} and {len(vectors[1])} patches",
        library_version("torch-fidelity"),
        images=1,
        reference=1,
        note=shrinking(files),
    )


def _only(folder: Path) -> Path:
    file, *others = png_files(folder, at_least=1)
    if others:
        raise UserError(f"{folder} holds {len(others) + 1} PNG images; the single-image FID compares one with one")
    return file
