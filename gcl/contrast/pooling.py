"""Shared top-k pooling: both graphs of a pair keep the nodes that score best in the input's graph."""

import torch
from torch import Tensor

from gcl.contrast.patches import rows_at


def topk(input_nodes: Tensor, weights: Tensor, biases: Tensor, keep: int) -> tuple[Tensor, Tensor]:
    """The k nodes of each input's graph with the best scores: scores and ids (L*B, k), best first.

    ``input_nodes`` are (L*B, N, D), of B graphs for each of L linear layers of ``weights`` (L, 1, D) and ``biases``
    (L, 1), whose sigmoid is a node's score.
    """
    # The weights times the nodes: their gradient is found twice as fast as that of the nodes times the weights.
    rows = input_nodes.unflatten(0, (len(weights), -1)).flatten(1, 2)  # (L*B, N, D) -> (L, B*N, D)
    logits = torch.baddbmm(biases.unsqueeze(1), weights, rows.mT).view(input_nodes.shape[:2])  # (L, 1, B*N) -> (L*B, N)
    return logits.sigmoid().topk(keep, dim=1)


def pool(nodes: Tensor, scores: Tensor, kept: Tensor) -> Tensor:
    """The ``kept`` (B, k) of ``nodes`` (B, N, D), each multiplied by its score: (B, k, D)."""
    return rows_at(nodes, kept) * scores.unsqueeze(-1)
