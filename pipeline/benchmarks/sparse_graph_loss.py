"""The graph loss in its published form over lists of edges, with PyG's ``TAGConv``: what the dense one is measured by.

All graphs of a batch are one graph of separate parts, as PyG batches them. Edges are listed once an adjacency.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.nn import TAGConv
from torch_geometric.utils import dense_to_sparse

from gcl.graph import add_self_loops, gate, similarity_adjacency, two_hop_adjacency
from gcl.losses import GraphContrastiveLoss, LayerGraphLoss, PatchGraph, info_nce


class SparseLayerGraphLoss(LayerGraphLoss):
    """One layer's graph loss with shared adjacency; takes the state of a :class:`gcl.losses.LayerGraphLoss`."""

    def __init__(self, channels: int, embedding: int, hops: int, *others: object):
        super().__init__(channels, embedding, hops, *others)
        self.gnn = TAGConv(embedding, embedding, K=hops)
        self.pool_gnns = nn.ModuleList(TAGConv(embedding, embedding, K=1) for _ in self.pools)

    def forward(self, input_features: Tensor, output_features: Tensor, ids: Tensor) -> tuple[Tensor, PatchGraph]:
        """Features (B, C, H, W) of input and output, positions ``ids`` (B, N): the loss and the input's graph."""
        with torch.no_grad():
            inputs = self._embed(input_features, ids)
        outputs = self._embed(output_features, ids)
        adjacency = similarity_adjacency(inputs, self.threshold)
        graph = PatchGraph(ids, adjacency, kept=[])
        inputs, outputs = self._propagate(self.gnn, inputs, outputs, adjacency)
        total = self.level_weights[0] * info_nce(inputs, outputs, self.temperature)

        keep = max(1, int(ids.shape[1] * self.keep))
        for pool, gnn, weight in zip(self.pools, self.pool_gnns, self.level_weights[1:], strict=True):
            scores, kept = pool.choose(inputs, keep)
            adjacency = two_hop_adjacency(adjacency, kept)
            gated = gate(inputs, scores, kept), gate(outputs, scores, kept)
            inputs, outputs = self._propagate(gnn, *gated, adjacency)
            total = total + weight * info_nce(inputs, outputs, self.temperature)
            keep = max(1, keep // 2)
        return total / len(self.level_weights), graph

    def _propagate(self, gnn: TAGConv, inputs: Tensor, outputs: Tensor, adjacency: Tensor) -> tuple[Tensor, Tensor]:
        """The new nodes (B, N, D) of both graphs, those of the input without gradient."""
        edges, weights = dense_to_sparse(add_self_loops(adjacency))
        with torch.no_grad():
            inputs = _convolve(gnn, inputs, edges, weights)
        return inputs, _convolve(gnn, outputs, edges, weights)


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


def _convolve(gnn: TAGConv, nodes: Tensor, edges: Tensor, weights: Tensor) -> Tensor:
    hidden = gnn(nodes.flatten(0, 1), edges, weights)  # (B, N, D) -> (B*N, D)
    return F.normalize(hidden, dim=-1).view_as(nodes)
