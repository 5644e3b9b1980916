"""The graph of one encoder layer as the loss saw it, for pictures and statistics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gcl.contrast.adjacency import density

if TYPE_CHECKING:
    from torch_geometric.data import Data


@dataclass(frozen=True)
class PatchGraph:
    """The inputs' graphs of one encoder layer, without gradient. They hold only what the loss has computed anyway.

    Attributes:
        map_size: height H and width W of the feature map.
        ids: the positions (B, N) that were drawn, numbered row by row in the map.
        embeddings: the nodes' embeddings (B, N, D), L2-normalised.
        adjacency: (B, N, N) of zeros and ones, without the self-loops that propagation adds.
        kept: one (B, k) per pooling level: the indices into ``ids`` of the nodes kept, best score first.
        scores: one (B, k) per pooling level: the scores of the nodes kept, in (0, 1).
    """

    map_size: tuple[int, int]
    ids: Tensor
    embeddings: Tensor
    adjacency: Tensor
    kept: list[Tensor]
    scores: list[Tensor]

    @property
    def density(self) -> Tensor:
        """The share of possible edges that exist, in [0, 1]."""
        return density(self.adjacency)

    def to_data(self) -> list[Data]:
        """One graph of torch-geometric per image, for its tools and, through ``to_networkx``, for those of networkx.

        Each has ``x`` (N, D), the embeddings; ``pos`` (N, 2), x and y in pixels of the feature map; ``edge_index``
        (2, E), every edge between different nodes in both directions; ``edge_attr`` (E,), the cosine similarity of an
        edge's ends; ``kept`` (N, levels), whether a pooling level kept the node; and ``score`` (N, levels), which is 0
        if it did not.
        """
        return [self._data_of(image) for image in range(len(self.ids))]

    def _data_of(self, image: int) -> Data:
        # torch-geometric takes seconds to import, and training does not need it.
        from torch_geometric.data import Data
        from torch_geometric.utils import dense_to_sparse, remove_self_loops

        nodes, ids, width = self.embeddings[image], self.ids[image], self.map_size[1]
        edges, _ = remove_self_loops(*dense_to_sparse(self.adjacency[image]))
        score = nodes.new_zeros(len(nodes), len(self.kept))
        kept = score.bool()
        for level, (best, scores) in enumerate(zip(self.kept, self.scores, strict=True)):
            kept[best[image], level] = True
            score[best[image], level] = scores[image]
        return Data(
            x=nodes,
            pos=torch.stack([ids % width, ids // width], dim=1).to(nodes.dtype),
            edge_index=edges,
            edge_attr=(nodes @ nodes.mT)[edges[0], edges[1]],
            kept=kept,
            score=score,
        )


def split_by_layer(
    features: Sequence[Tensor],
    patch_ids: Sequence[Tensor],
    embeddings: Tensor,
    adjacency: Tensor,
    kept: Sequence[Tensor],
    scores: Sequence[Tensor],
) -> list[PatchGraph]:
    """Returns the graphs of each of L layers.

    ``features`` (B, C, H, W) and ``patch_ids`` (B, N) are given per layer. The rest covers all layers: ``embeddings``
    (L*B, N, D), ``adjacency`` (L*B, N, N), and ``kept`` and ``scores``, one (L*B, k) per pooling level.
    """
    graphs = []
    for layer, (maps, ids) in enumerate(zip(features, patch_ids, strict=True)):
        own = slice(layer * len(ids), (layer + 1) * len(ids))
        of_levels = [level[own] for level in kept], [level[own].detach() for level in scores]
        graphs.append(PatchGraph(tuple(maps.shape[-2:]), ids, embeddings[own], adjacency[own], *of_levels))
    return graphs
