"""The edges of patch graphs, dense and in batches: how the adjacency is chosen, normalised and pooled.

A batch holds one graph per image, ``(B, N, N)``; nodes of different images never meet. Graphs of several encoder
layers, which have weights of their own, follow each other in one batch: those of layer 0, of layer 1, ... Everything
stays on the device of its input.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from gcl.contrast.fast.products import batched_product
from gcl.contrast.patches import rows_at


def similarity_adjacency(embeddings: Tensor, threshold: float) -> Tensor:
    """``A = [t t^T > threshold]`` without gradient; symmetric, as the products of a matrix with itself are.

    ``embeddings`` (B, N, D), L2-normalised; returns (B, N, N) of zeros and ones in the embeddings' type.
    The diagonal is set wherever the threshold is below 1.
    """
    with torch.no_grad():
        return batched_product(embeddings, embeddings.mT).gt_(threshold)  # (B, N, N), in [-1, 1] before


def identity_adjacency(embeddings: Tensor) -> Tensor:
    """No edges but self-loops: (B, N, N) identities for ``embeddings`` (B, N, D)."""
    batch, nodes, _ = embeddings.shape
    return torch.eye(nodes, dtype=embeddings.dtype, device=embeddings.device).expand(batch, nodes, nodes)


Adjacencies = tuple[Tensor, Tensor]
"""That of the inputs' graphs and that of the outputs', (B, N, N) each: one and the same tensor where they share it."""


def _shared(inputs: Tensor, outputs: Tensor, threshold: float) -> Adjacencies:
    """The outputs' graphs use the inputs' edges, as published."""
    adjacency = similarity_adjacency(inputs, threshold)
    return adjacency, adjacency


def _separate(inputs: Tensor, outputs: Tensor, threshold: float) -> Adjacencies:
    """The outputs' graphs have edges by the outputs' own similarities."""
    return similarity_adjacency(inputs, threshold), similarity_adjacency(outputs, threshold)


def _identity(inputs: Tensor, outputs: Tensor, threshold: float) -> Adjacencies:
    """Every patch is for itself."""
    adjacency = identity_adjacency(inputs)
    return adjacency, adjacency


ADJACENCIES: dict[str, Callable[[Tensor, Tensor, float], Adjacencies]] = {
    "shared": _shared,
    "separate": _separate,
    "identity": _identity,
}
"""The choices of ``graph.adjacency``: functions of the inputs' and outputs' embeddings (B, N, D), and the threshold."""


def propagation_matrix(adjacency: Tensor) -> Tensor:
    """``S = D^-1/2 (A + I) D^-1/2`` of ``adjacency`` A (B, N, N), D being the row sums of A + I.

    A is symmetric, of zeros and ones; S is symmetric to the last bit. I comes on top of the diagonal that is there
    already, so that a node's edge to itself counts twice.
    """
    scale = (adjacency.sum(dim=-1) + 1).rsqrt()  # (B, N)
    matrix = (scale.unsqueeze(-1) * adjacency).mul_(scale.unsqueeze(-2))
    matrix.diagonal(dim1=-2, dim2=-1).add_(scale.square())
    return matrix


def two_hop_adjacency(adjacency: Tensor, kept: Tensor) -> Tensor:
    """Pooled nodes are neighbours where they were connected within two hops: ``[A A > 0]`` between the ``kept`` (B, k).

    ``adjacency`` (B, N, N) is symmetric; returns (B, k, k) of zeros and ones.
    """
    rows = rows_at(adjacency, kept)  # (B, k, N)
    return batched_product(rows, rows.mT).gt_(0)


def density(adjacency: Tensor) -> Tensor:
    """The share of the possible edges between different nodes that exist, averaged over the batch, in [0, 1]."""
    nodes = adjacency.shape[-1]
    loops = adjacency.diagonal(dim1=-2, dim2=-1).sum(dim=-1)  # (B,)
    return ((adjacency.sum(dim=(-2, -1)) - loops) / max(nodes * (nodes - 1), 1)).mean()
