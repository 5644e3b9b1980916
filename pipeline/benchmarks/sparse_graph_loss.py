"""The graph loss in its published form over lists of edges, with PyG's ``TAGConv``: what the dense one is measured by.

All graphs of an encoder layer are one graph of separate parts, as PyG batches them. Edges are listed, and their
weights normalised, once an adjacency.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch_geometric.nn import TAGConv
from torch_geometric.nn.conv.gcn_conv import gcn_norm
from torch_geometric.utils import dense_to_sparse

from gcl.contrast.graph import identity_adjacency
from gcl.contrast.graph_loss import GraphContrastiveLoss
from gcl.contrast.stacked_linear import StackedLinear

Edges = tuple[Tensor, Tensor]
"""The ends (2, E) and the weights (E,) of all edges of an encoder layer."""


class SparseGraphContrastiveLoss(GraphContrastiveLoss):
    """The graph contrastive loss over lists of edges, of equally many nodes in every encoder layer.

    With the same seed both start from the same weights.
    """

    def __init__(self, *args, **settings):
        super().__init__(*args, **settings)
        self.gnn = TAGConvs(self.gnn)
        self.pool_gnns = nn.ModuleList(TAGConvs(gnn) for gnn in self.pool_gnns)


class TAGConvs(nn.ModuleList):
    """The same convolutions as ``stacked``: a ``TAGConv`` an encoder layer, with weights of its own."""

    def __init__(self, stacked: StackedLinear):
        layers, channels, inputs = stacked.weight.shape
        hops = inputs // channels - 1
        super().__init__(TAGConv(channels, channels, K=hops, normalize=False) for _ in range(layers))
        with torch.no_grad():
            for convolution, weight, bias in zip(self, stacked.weight, stacked.bias, strict=True):
                convolution.bias.copy_(bias)
                for hop, of_hop in zip(convolution.lins, weight.split(channels, dim=1), strict=True):
                    hop.weight.copy_(of_hop)

    def propagation(self, adjacency: Tensor, layers: Sequence[int]) -> list[Edges]:
        """The edges of each layer's graphs."""
        return [_edges(of_layer) for of_layer in adjacency.chunk(len(layers))]

    def forward(self, nodes: Tensor, propagation: Sequence[Edges], layers: Sequence[int]) -> Tensor:
        """``nodes`` (L*B, N, D): the same shape."""
        parts = zip((self[layer] for layer in layers), nodes.chunk(len(layers)), propagation, strict=True)
        return torch.cat([_convolve_layer(*part) for part in parts])


def _convolve_layer(convolution: TAGConv, nodes: Tensor, edges: Edges) -> Tensor:
    """``nodes`` (B, N, in): returns (B, N, out)."""
    hidden = convolution(nodes.flatten(0, 1), *edges)  # (B, N, in) -> (B*N, out)
    return hidden.unflatten(0, nodes.shape[:2])


def _edges(adjacency: Tensor) -> Edges:
    """All edges of A + I, ``adjacency`` being A (B, N, N); normalised as the propagation matrix."""
    edges, weights = dense_to_sparse(adjacency + identity_adjacency(adjacency))
    return gcn_norm(edges, weights, adjacency.shape[:2].numel(), add_self_loops=False)
