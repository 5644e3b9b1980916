"""The graph of one encoder layer as the loss saw it, for pictures and statistics."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from gcl.contrast.graph import density


@dataclass
class PatchGraph:
    """The input's graph of one encoder layer.

    ``ids`` (B, N) flat positions drawn, ``adjacency`` (B, N, N) of the input without the added self-loops,
    ``kept`` one (B, k) per pooling level: indices into ``ids``, best score first.
    """

    ids: Tensor
    adjacency: Tensor
    kept: list[Tensor]

    @property
    def density(self) -> Tensor:
        """The share of possible edges that exist, in [0, 1]."""
        return density(self.adjacency)


def split_by_layer(patch_ids: Sequence[Tensor], adjacency: Tensor, kept_ids: Sequence[Tensor]) -> list[PatchGraph]:
    """The graph of each layer, from all layers' ``adjacency`` (L*B, N, N) and one ``kept_ids`` (L*B, k) per level."""
    layers = len(patch_ids)
    levels = [kept.chunk(layers) for kept in kept_ids]
    adjacencies = adjacency.chunk(layers)
    return [
        PatchGraph(ids, adjacencies[layer], kept=[level[layer] for level in levels])
        for layer, ids in enumerate(patch_ids)
    ]
