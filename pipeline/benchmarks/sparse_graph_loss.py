"""The graph loss in its published form over lists of edges, with PyG's ``TAGConv``: what the dense one is measured by.

All graphs of an encoder layer are one graph of separate parts, as PyG batches them. Edges are listed, and their
weights normalised, once an adjacency.
"""

from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor
from torch.func import functional_call
from torch_geometric.nn import TAGConv
from torch_geometric.nn.conv.gcn_conv import gcn_norm
from torch_geometric.utils import dense_to_sparse

from gcl.losses import GraphContrastiveLoss

Edges = tuple[Tensor, Tensor]
"""The ends (2, E) and the weights (E,) of all edges of an encoder layer."""


class SparseGraphContrastiveLoss(GraphContrastiveLoss):
    """:class:`gcl.losses.GraphContrastiveLoss` over lists of edges, of equally many nodes in every encoder layer.

    The state of one can be loaded into the other.
    """

    def _convolution(self, nodes: Tensor, propagation: Sequence[Edges], weights: Tensor, biases: Tensor) -> Tensor:
        layers = zip(nodes.chunk(len(weights)), propagation, weights, biases, strict=True)
        return torch.cat([_convolve_layer(*layer) for layer in layers])

    def _propagation(self, adjacency: Tensor) -> list[Edges]:
        return [_edges(of_layer) for of_layer in adjacency.chunk(len(self.embed))]


def _convolve_layer(nodes: Tensor, edges: Edges, weight: Tensor, bias: Tensor) -> Tensor:
    """``nodes`` (B, N, in), ``weight`` (out, (K + 1) * in), ``bias`` (out,): returns (B, N, out)."""
    of_hops = weight.split(nodes.shape[2], dim=1)
    convolution = _tag_convolution(nodes.shape[2], len(weight), len(of_hops) - 1)
    parameters = {"bias": bias, **{f"lins.{hop}.weight": of_hop for hop, of_hop in enumerate(of_hops)}}
    rows = nodes.flatten(0, 1)  # (B, N, in) -> (B*N, in)
    hidden = functional_call(convolution, parameters, (rows, *edges), strict=True)  # (B*N, out)
    return hidden.unflatten(0, nodes.shape[:2])


@cache
def _tag_convolution(inputs: int, outputs: int, hops: int) -> TAGConv:
    """Without weights of its own. Made once, since to make one takes as long as a small convolution."""
    with torch.device("meta"):
        return TAGConv(inputs, outputs, K=hops, normalize=False)


def _edges(adjacency: Tensor) -> Edges:
    """All edges of A + I, ``adjacency`` being A (B, N, N); normalised as by :func:`gcl.graph.propagation_matrix`."""
    edges, weights = dense_to_sparse(adjacency + torch.eye(adjacency.shape[1]).to(adjacency))
    return gcn_norm(edges, weights, adjacency.shape[:2].numel(), add_self_loops=False)
