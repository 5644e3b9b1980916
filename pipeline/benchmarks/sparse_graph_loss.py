"""The graph loss in its published form over lists of edges, with PyG's ``TAGConv``: what the dense one is measured by.

All graphs of a batch are one graph of separate parts, as PyG batches them. Edges are listed, and their weights
normalised, once an adjacency.
"""

from torch import Tensor, nn
from torch_geometric.nn import TAGConv
from torch_geometric.nn.conv.gcn_conv import gcn_norm
from torch_geometric.utils import dense_to_sparse

from gcl.graph import add_self_loops
from gcl.losses import GraphContrastiveLoss, LayerGraphLoss

Edges = tuple[Tensor, Tensor]
"""The ends (2, E) and the weights (E,) of all edges of a batch."""


class SparseTAGConv(TAGConv):
    """PyG's ``TAGConv`` on the nodes of a batch of images."""

    def forward(self, nodes: Tensor, edges: Edges) -> Tensor:
        """``nodes`` (B, N, in): returns (B, N, out)."""
        hidden = super().forward(nodes.flatten(0, 1), *edges)  # (B, N, in) -> (B*N, out)
        return hidden.unflatten(0, nodes.shape[:2])


class SparseLayerGraphLoss(LayerGraphLoss):
    """One layer's graph loss over lists of edges; takes the state of a :class:`gcl.losses.LayerGraphLoss`."""

    def _convolution(self, width: int, hops: int) -> nn.Module:
        return SparseTAGConv(width, width, K=hops, normalize=False)

    def _propagation(self, adjacency: Tensor) -> Edges:
        edges, weights = dense_to_sparse(add_self_loops(adjacency))
        return gcn_norm(edges, weights, adjacency.shape[:2].numel(), add_self_loops=False)


class SparseGraphContrastiveLoss(GraphContrastiveLoss):
    """:class:`gcl.losses.GraphContrastiveLoss` over lists of edges, with the weights of ``dense``."""

    def __init__(self, dense: GraphContrastiveLoss):
        nn.Module.__init__(self)
        self.patches = dense.patches
        self.layers = nn.ModuleList(_sparse(layer) for layer in dense.layers)


def _sparse(layer: LayerGraphLoss) -> SparseLayerGraphLoss:
    embedding, channels = layer.embed.weight.shape
    settings = layer.threshold, layer.adjacency, layer.keep, layer.level_weights, layer.temperature
    sparse = SparseLayerGraphLoss(channels, embedding, layer.gnn.K, *settings).to(layer.embed.weight.device)
    sparse.load_state_dict(layer.state_dict())
    return sparse
