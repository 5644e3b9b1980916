"""Patch graphs as batched dense algebra: adjacency, topology-adaptive convolution, shared top-k pooling.

A batch holds one graph an image, ``(B, N, N)``; nodes of different images never meet. Everything stays on
the device of its input.
"""

import torch
from torch import Tensor, nn
from torch_geometric.nn import TAGConv

from gcl.products import batched_product, linear


def similarity_adjacency(embeddings: Tensor, threshold: float) -> Tensor:
    """``A = [t t^T > threshold]`` without gradient.

    ``embeddings`` (B, N, D), L2-normalised; returns (B, N, N) of zeros and ones in the embeddings' type.
    The diagonal is set wherever the threshold is below 1.
    """
    with torch.no_grad():
        similarity = batched_product(embeddings, embeddings.transpose(1, 2))  # (B, N, N), in [-1, 1]
        return (similarity > threshold).to(embeddings.dtype)


def identity_adjacency(embeddings: Tensor) -> Tensor:
    """No edges but self-loops: (B, N, N) identities for ``embeddings`` (B, N, D)."""
    batch, nodes, _ = embeddings.shape
    return torch.eye(nodes, dtype=embeddings.dtype, device=embeddings.device).expand(batch, nodes, nodes)


def add_self_loops(adjacency: Tensor) -> Tensor:
    """``A + I``: on top of the diagonal that is there already, so that a node's edge to itself counts twice."""
    return adjacency + torch.eye(adjacency.shape[-1], dtype=adjacency.dtype, device=adjacency.device)


def symmetric_normalisation(adjacency: Tensor) -> Tensor:
    """``D^-1/2 A D^-1/2`` with ``D`` the row sums of ``adjacency`` (B, N, N); nodes without edges get zero rows."""
    degree = adjacency.sum(dim=-1)  # (B, N)
    scale = torch.where(degree > 0, degree.clamp(min=torch.finfo(degree.dtype).tiny).rsqrt(), 0.0)
    return scale.unsqueeze(-1) * adjacency * scale.unsqueeze(-2)


def density(adjacency: Tensor) -> Tensor:
    """The share of the possible edges between different nodes that exist, averaged over the batch, in [0, 1]."""
    nodes = adjacency.shape[-1]
    loops = adjacency.diagonal(dim1=-2, dim2=-1).sum(dim=-1)  # (B,)
    return ((adjacency.sum(dim=(-2, -1)) - loops) / max(nodes * (nodes - 1), 1)).mean()


class DenseTAGConv(TAGConv):
    """Topology-adaptive graph convolution (Du et al., 2017) on dense adjacencies.

    ``h = sum_k S^k x W_k + bias`` for k = 0 ... K, ``S = D^-1/2 A D^-1/2``. The weights are those of PyG's
    sparse ``TAGConv``, of which this is the batched dense form: ``lins[k]`` holds ``W_k``. As there, with
    ``normalize=False`` S itself is given, where several convolutions share it.
    """

    def forward(self, nodes: Tensor, adjacency: Tensor) -> Tensor:
        """``nodes`` (B, N, in), ``adjacency`` (B, N, N) with its self-loops, or S: returns (B, N, out)."""
        propagation = symmetric_normalisation(adjacency) if self.normalize else adjacency
        hops = [nodes]
        for _ in range(self.K):
            hops.append(batched_product(propagation, hops[-1]))
        # One product of (B, N, (K + 1) * in) with all weights side by side.
        return linear(torch.cat(hops, dim=-1), torch.cat([hop.weight for hop in self.lins], dim=1), self.bias)


class SharedTopKPooling(nn.Module):
    """Keeps the k nodes of the input's graph that score highest, and the SAME nodes of the output's graph.

    The score is ``sigmoid(Linear(D -> 1))`` of the input's node features; the features of both graphs are
    multiplied by it. Pooled nodes are neighbours where they were connected within two hops: ``[A A > 0]``.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.score = nn.Linear(channels, 1)

    def choose(self, input_nodes: Tensor, keep: int) -> tuple[Tensor, Tensor]:
        """``input_nodes`` (B, N, D): the scores (B, k) and ids (B, k) of the nodes to keep, best first."""
        scores = torch.sigmoid(self.score(input_nodes).squeeze(-1))  # (B, N, 1) -> (B, N)
        return scores.topk(keep, dim=1)


def gate(nodes: Tensor, scores: Tensor, kept: Tensor) -> Tensor:
    """The ``kept`` (B, k) of ``nodes`` (B, N, D), each multiplied by its score: (B, k, D)."""
    index = kept.unsqueeze(-1).expand(-1, -1, nodes.shape[-1])  # (B, k) -> (B, k, D)
    return nodes.gather(1, index) * scores.unsqueeze(-1)


def two_hop_adjacency(adjacency: Tensor, kept: Tensor) -> Tensor:
    """``[A A > 0]`` between the ``kept`` (B, k) nodes of a symmetric ``adjacency`` (B, N, N): (B, k, k) of 0 and 1."""
    rows = adjacency.gather(1, kept.unsqueeze(-1).expand(-1, -1, adjacency.shape[-1]))  # (B, k, N)
    return (batched_product(rows, rows.transpose(1, 2)) > 0).to(adjacency.dtype)
