"""Patch graphs as batched dense algebra: adjacency, topology-adaptive convolution, shared top-k pooling.

A batch holds one graph an image, ``(B, N, N)``; nodes of different images never meet. Graphs of several encoder layers,
which have weights of their own, follow each other in one batch: those of layer 0, of layer 1, ... Everything stays on
the device of its input.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gcl.contrast.derivatives import propagate
from gcl.contrast.patches import rows_at
from gcl.contrast.products import batched_product, linear


class StackedLinear(nn.Module):
    """L linear layers of one size, an encoder layer each: ``weight`` (L, out, in), from N(0, 0.02), ``bias`` (L, out).

    One tensor in the place of L: where all are asked for, no step stacks them or takes their gradients apart.
    """

    def __init__(self, layers: int, inputs: int, outputs: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(layers, outputs, inputs).normal_(0.0, 0.02))
        self.bias = nn.Parameter(torch.zeros(layers, outputs))

    def of(self, layers: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Weights and biases of these ``layers``, in their order."""
        if list(layers) == list(range(len(self.weight))):
            return self.weight, self.bias
        # Not by an index, which would be copied to the device, and waited for.
        weights, biases = zip(*((self.weight[layer], self.bias[layer]) for layer in layers), strict=True)
        return torch.stack(weights), torch.stack(biases)


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


def propagation_matrix(adjacency: Tensor) -> Tensor:
    """``S = D^-1/2 (A + I) D^-1/2`` of ``adjacency`` A (B, N, N), D being the row sums of A + I.

    A is symmetric, of zeros and ones; S is symmetric to the last bit. I comes on top of the diagonal that is there
    already, so that a node's edge to itself counts twice.
    """
    scale = (adjacency.sum(dim=-1) + 1).rsqrt()  # (B, N)
    matrix = (scale.unsqueeze(-1) * adjacency).mul_(scale.unsqueeze(-2))
    matrix.diagonal(dim1=-2, dim2=-1).add_(scale.square())
    return matrix


def density(adjacency: Tensor) -> Tensor:
    """The share of the possible edges between different nodes that exist, averaged over the batch, in [0, 1]."""
    nodes = adjacency.shape[-1]
    loops = adjacency.diagonal(dim1=-2, dim2=-1).sum(dim=-1)  # (B,)
    return ((adjacency.sum(dim=(-2, -1)) - loops) / max(nodes * (nodes - 1), 1)).mean()


def convolve(nodes: Tensor, propagation: Tensor, weights: Tensor, biases: Tensor) -> Tensor:
    """Topology-adaptive graph convolution (Du et al., 2017), of B graphs for each of L convolutions.

    ``h = sum_k S^k x W_k + bias`` for k = 0 ... K: PyG's ``TAGConv``, dense and in a batch. ``nodes`` x are
    (L*B, N, in), ``propagation`` S (L*B, N, N) as of :func:`propagation_matrix`, ``weights`` (L, out, (K + 1) * in),
    ``W_0 ... W_K`` side by side, and ``biases`` (L, out); returns (L*B, N, out). No gradient reaches S.
    """
    hops = [nodes]
    for _ in range(weights.shape[2] // nodes.shape[2] - 1):
        hops.append(propagate(propagation, hops[-1]))
    # One product of (B*N, (K + 1) * in) a convolution.
    rows = torch.cat(hops, dim=-1).unflatten(0, (len(weights), -1))  # (L, B, N, (K + 1) * in)
    return linear(rows, weights, biases).flatten(0, 1)


def choose(input_nodes: Tensor, weights: Tensor, biases: Tensor, keep: int) -> tuple[Tensor, Tensor]:
    """Shared top-k pooling: the k nodes of each input's graph to keep, and the SAME nodes of the output's graph.

    ``input_nodes`` are (L*B, N, D), of B graphs for each of L linear layers of ``weights`` (L, 1, D) and ``biases``
    (L, 1), whose sigmoid is a node's score. Returns scores and ids (L*B, k), best first; the features of both graphs
    are to be multiplied by the scores.
    """
    # The weights times the nodes: their gradient is found twice as fast as that of the nodes times the weights.
    rows = input_nodes.unflatten(0, (len(weights), -1)).flatten(1, 2)  # (L*B, N, D) -> (L, B*N, D)
    logits = torch.baddbmm(biases.unsqueeze(1), weights, rows.mT).view(input_nodes.shape[:2])  # (L, 1, B*N) -> (L*B, N)
    return logits.sigmoid().topk(keep, dim=1)


def gate(nodes: Tensor, scores: Tensor, kept: Tensor) -> Tensor:
    """The ``kept`` (B, k) of ``nodes`` (B, N, D), each multiplied by its score: (B, k, D)."""
    return rows_at(nodes, kept) * scores.unsqueeze(-1)


def two_hop_adjacency(adjacency: Tensor, kept: Tensor) -> Tensor:
    """Pooled nodes are neighbours where they were connected within two hops: ``[A A > 0]`` between the ``kept`` (B, k).

    ``adjacency`` (B, N, N) is symmetric; returns (B, k, k) of zeros and ones.
    """
    rows = rows_at(adjacency, kept)  # (B, k, N)
    return batched_product(rows, rows.mT).gt_(0)
