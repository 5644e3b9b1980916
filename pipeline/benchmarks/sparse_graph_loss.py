"""The graph loss in its published form over lists of edges, with PyG's ``TAGConv``: what the dense one is measured by.

All graphs of an encoder layer are one graph of separate parts, as PyG batches them. Edges are listed, and their
weights normalised, once an adjacency.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch_geometric.nn import TAGConv
from torch_geometric.nn.conv.gcn_conv import gcn_norm
from torch_geometric.utils import dense_to_sparse

from gcl.graph import add_self_loops
from gcl.losses import GraphContrastiveLoss

Edges = tuple[Tensor, Tensor]
"""The ends (2, E) and the weights (E,) of all edges of an encoder layer."""


class SparseGraphContrastiveLoss(GraphContrastiveLoss):
    """:class:`gcl.losses.GraphContrastiveLoss` over lists of edges, of equally many nodes in every encoder layer.

    The state of one can be loaded into the other.
    """

    def _convolution(self, convolutions: Sequence[TAGConv]) -> Callable[[Tensor, Sequence[Edges]], Tensor]:
        def convolve(nodes: Tensor, edges: Sequence[Edges]) -> Tensor:
            """``nodes`` (L*B, N, in): returns (L*B, N, out)."""
            layers = zip(convolutions, nodes.chunk(len(convolutions)), edges, strict=True)
            return torch.cat([_convolve_layer(*layer) for layer in layers])

        return convolve

    def _propagation(self, adjacency: Tensor) -> list[Edges]:
        return [_edges(looped) for looped in add_self_loops(adjacency).chunk(len(self.layers))]


def _convolve_layer(convolution: TAGConv, nodes: Tensor, edges: Edges) -> Tensor:
    """``nodes`` (B, N, in): returns (B, N, out)."""
    hidden = convolution(nodes.flatten(0, 1), *edges)  # (B, N, in) -> (B*N, out)
    return hidden.unflatten(0, nodes.shape[:2])


def _edges(looped: Tensor) -> Edges:
    """All edges of ``looped`` (B, N, N), their weights normalised as by :func:`gcl.graph.symmetric_normalisation`."""
    edges, weights = dense_to_sparse(looped)
    return gcn_norm(edges, weights, looped.shape[:2].numel(), add_self_loops=False)
