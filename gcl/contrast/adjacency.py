"""The edges of patch graphs, dense and in batches: how the adjacency is chosen, normalised and pooled.

A batch holds one graph per image, ``(B, N, N)``; nodes of different images are never connected. Each encoder layer has
its own weights, but the graphs of several layers follow each other in one batch: those of layer 0, of layer 1, ...
Everything stays on the device of its input.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from gcl.contrast.fast.products import batched_product
from gcl.contrast.patches import rows_at


def similarity_adjacency(embeddings: Tensor, threshold: float) -> Tensor:
    """``A = [t t^T > threshold]`` without gradient; symmetric, because it is the product of t with its transpose.

    ``embeddings`` t are (B, N, D), L2-normalised. Returns (B, N, N) of zeros and ones in the embeddings' type. The
    diagonal is 1 if the threshold is below 1.
    """
    with torch.no_grad():
        return batched_product(embeddings, embeddings.mT).gt_(threshold)  # (B, N, N); the cosines are in [-1, 1]


def identity_adjacency(embeddings: Tensor) -> Tensor:
    """Adjacencies with no edges but self-loops: (B, N, N) identities for ``embeddings`` (B, N, D)."""
    batch, nodes, _ = embeddings.shape
    return torch.eye(nodes, dtype=embeddings.dtype, device=embeddings.device).expand(batch, nodes, nodes)


Adjacencies = tuple[Tensor, Tensor]
"""The adjacencies of the inputs' and of the outputs' graphs, (B, N, N) each: the same tensor if it is shared."""


def _shared(inputs: Tensor, outputs: Tensor, threshold: float) -> Adjacencies:
    """The outputs' graphs use the inputs' edges, as published."""
    adjacency = similarity_adjacency(inputs, threshold)
    return adjacency, adjacency


def _separate(inputs: Tensor, outputs: Tensor, threshold: float) -> Adjacencies:
    """The edges of the outputs' graphs come from the outputs' own similarities."""
    return similarity_adjacency(inputs, threshold), similarity_adjacency(outputs, threshold)


def _identity(inputs: Tensor, outputs: Tensor, threshold: float) -> Adjacencies:
    """No patch has neighbours."""
    adjacency = identity_adjacency(inputs)
    return adjacency, adjacency


ADJACENCIES: dict[str, Callable[[Tensor, Tensor, float], Adjacencies]] = {
    "shared": _shared,
    "separate": _separate,
    "identity": _identity,
}
"""The choices of ``graph.adjacency``: (inputs' embeddings, outputs' embeddings, threshold) -> adjacencies; embeddings
are (B, N, D)."""


def propagation_matrix(adjacency: Tensor) -> Tensor:
    """``S = D^-1/2 (A + I) D^-1/2`` for ``adjacency`` A (B, N, N); D holds the row sums of A + I.

    A is symmetric, of zeros and ones; S is symmetric to the last bit. I is added to the diagonal that A already has, so
    a node's edge to itself counts twice.
    """
    scale = (adjacency.sum(dim=-1) + 1).rsqrt()  # (B, N)
    matrix = (scale.unsqueeze(-1) * adjacency).mul_(scale.unsqueeze(-2))
    matrix.diagonal(dim1=-2, dim2=-1).add_(scale.square())
    return matrix


def two_hop_adjacency(adjacency: Tensor, kept: Tensor) -> Tensor:
    """``[A A > 0]`` between the nodes ``kept`` (B, k): they become neighbours if they were connected within two hops.

    ``adjacency`` A (B, N, N) is symmetric; returns (B, k, k) of zeros and ones.
    """
    rows = rows_at(adjacency, kept)  # (B, k, N)
    return batched_product(rows, rows.mT).gt_(0)


def density(adjacency: Tensor) -> Tensor:
    """The share of possible edges between different nodes that exist, in [0, 1], averaged over the batch."""
    nodes = adjacency.shape[-1]
    loops = adjacency.diagonal(dim1=-2, dim2=-1).sum(dim=-1)  # (B,)
    return ((adjacency.sum(dim=(-2, -1)) - loops) / max(nodes * (nodes - 1), 1)).mean()
