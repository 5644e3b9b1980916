"""Shared top-k pooling: both graphs of a pair keep the nodes that score best in the input's graph."""

import torch
from torch import Tensor

from gcl.contrast.patches import rows_at


def topk(input_nodes: Tensor, weights: Tensor, biases: Tensor, keep: int) -> tuple[Tensor, Tensor]:
    """Returns the scores and the ids (L*B, k) of the ``keep`` = k best nodes of each input's graph, best first.

    ``input_nodes`` are (L*B, N, D): B graphs for each of L linear layers with ``weights`` (L, 1, D) and ``biases``
    (L, 1). The sigmoid of the layer's output is a node's score.
    """
    # The weights are multiplied by the nodes, not the nodes by the weights, which halves the time of the gradient.
    rows = input_nodes.unflatten(0, (len(weights), -1)).flatten(1, 2)  # (L*B, N, D) -> (L, B*N, D)
    logits = torch.baddbmm(biases.unsqueeze(1), weights, rows.mT).view(input_nodes.shape[:2])  # (L, 1, B*N) -> (L*B, N)
    return logits.sigmoid().topk(keep, dim=1)


def pool(nodes: Tensor, scores: Tensor, kept: Tensor) -> Tensor:
    """Those of ``nodes`` (B, N, D) at the ids ``kept`` (B, k), each multiplied by its score: (B, k, D)."""
    return rows_at(nodes, kept) * scores.unsqueeze(-1)
