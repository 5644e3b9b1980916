"""Structure as the self-similarity of a deep map: how alike every two positions of an image are."""

import torch
from torch import Tensor


def self_similarity_difference(first: Tensor, second: Tensor) -> float:
    """The mean squared difference of the self-similarity matrices of two maps (C, H, W) and (D, H, W).

    A self-similarity matrix (HW, HW) holds the cosine similarity of the features at every two positions. A position
    whose features are all 0 is similar to none.
    """
    ours, theirs = (_unit_columns(features) for features in (first, second))  # (C, HW), (D, HW)
    # The sum of products of two such matrices is |ours @ theirs.T|^2, so that none of size (HW, HW) is needed.
    total = _overlap(ours, ours) + _overlap(theirs, theirs) - 2 * _overlap(ours, theirs)
    # Rounding may leave less than nothing.
    return max(total / ours.shape[1] ** 2, 0.0)


def _unit_columns(features: Tensor) -> Tensor:
    """Maps (C, H, W) to float64 (C, HW) with columns of norm 1, or 0 where there is nothing to normalise."""
    # On the CPU, because not every device has float64, and the difference of large sums needs it.
    return torch.nn.functional.normalize(features.flatten(1).cpu().double(), dim=0)


def _overlap(first: Tensor, second: Tensor) -> float:
    return (first @ second.T).square().sum().item()
