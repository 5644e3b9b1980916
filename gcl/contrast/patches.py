"""Patches: the positions of feature maps at which features are compared, and the features there."""

from collections.abc import Sequence

import torch
import torch.distributed
from torch import Tensor


def choose_patches(
    inputs: Sequence[Tensor], outputs: Sequence[Tensor], patches: int, patch_ids: Sequence[Tensor] | None
) -> Sequence[Tensor]:
    """Returns the ``patch_ids``, (B, N) per layer, or draws at most ``patches`` random ones if they are None.

    ``inputs`` and ``outputs`` are features, one (B, C, H, W) per layer. ValueError if they differ in shape, or if ids
    are outside their maps.
    """
    _check_features(inputs, outputs)
    if patch_ids is None:
        return [draw_patches(features, patches) for features in inputs]
    _check_patches(inputs, patch_ids)
    return patch_ids


def draw_patches(features: Tensor, patches: int) -> Tensor:
    """Draws random positions in a feature map (B, C, H, W), anew for every image, from torch's global generator.

    Returns flat row-major ids (B, N) with N = min(patches, H * W), without duplicates and in no particular order. With
    several processes, each one draws for the images of all processes and keeps the rows of its own images. Together
    they thus draw what a single process would draw for all images.
    """
    batch, _, height, width = features.shape
    rank, processes = place_among_processes()
    order = torch.rand(processes * batch, height * width, device=features.device)
    own = order[rank * batch : (rank + 1) * batch]  # (B, H*W)
    return own.topk(min(patches, height * width), largest=False, sorted=False).indices


def place_among_processes() -> tuple[int, int]:
    """The rank of this process and the number of processes."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1


def gather_patches(features: Tensor, ids: Tensor) -> Tensor:
    """The feature vectors of ``features`` (B, C, H, W) at flat positions ``ids`` (B, N): (B, N, C)."""
    rows = features.permute(0, 2, 3, 1).flatten(1, 2)  # (B, C, H, W) -> (B, H*W, C): no copy of channels-last features
    return rows_at(rows, ids)


def rows_at(matrices: Tensor, ids: Tensor) -> Tensor:
    """The rows ``ids`` (B, k) of ``matrices`` (B, N, D): (B, k, D)."""
    batch, rows, _ = matrices.shape
    first = rows * torch.arange(batch, device=ids.device).unsqueeze(1)  # (B, 1)
    return matrices.flatten(0, 1).index_select(0, (ids + first).flatten()).unflatten(0, ids.shape)  # (B, k, D)


def _check_features(inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> None:
    """ValueError if a layer's features (B, C, H, W) of ``inputs`` and ``outputs`` differ in shape."""
    for layer, (of_input, of_output) in enumerate(zip(inputs, outputs, strict=True)):
        if of_input.shape != of_output.shape:
            shapes = f"{tuple(of_input.shape)} for the inputs and {tuple(of_output.shape)} for the outputs"
            raise ValueError(f"features of layer {layer} have the shapes {shapes}; they must be the same")


def _check_patches(features: Sequence[Tensor], patch_ids: Sequence[Tensor]) -> None:
    """ValueError if the ids of a layer are not (B, N) positions of its features (B, C, H, W)."""
    for layer, (of_layer, ids) in enumerate(zip(features, patch_ids, strict=True)):
        batch, positions = len(of_layer), of_layer[0, 0].numel()
        if ids.ndim != 2 or len(ids) != batch:
            raise ValueError(f"patch_ids[{layer}] has the shape {tuple(ids.shape)}; it must be ({batch}, N)")
        if ids.min() < 0 or ids.max() >= positions:
            raise ValueError(f"patch_ids[{layer}] holds {ids.min()} to {ids.max()}; the map has {positions} positions")
