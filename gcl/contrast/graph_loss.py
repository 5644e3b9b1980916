"""The patch-wise graph contrastive loss."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, get_args

import torch
from torch import Tensor, nn

from gcl.config import Adjacency
from gcl.contrast.derivatives import normalise, symmetric_cross_entropy
from gcl.contrast.graph import (
    StackedLinear,
    choose,
    convolve,
    density,
    gate,
    identity_adjacency,
    propagation_matrix,
    similarity_adjacency,
    two_hop_adjacency,
)
from gcl.contrast.patches import choose_patches, gather_patches
from gcl.contrast.products import batched_product, linear


def info_nce(inputs: Tensor, outputs: Tensor, temperature: float) -> Tensor:
    """Symmetric InfoNCE between matching nodes, negatives being the other nodes of the same image.

    Cross-entropy of ``T S^T / temperature`` over rows PLUS the same over columns, each averaged over nodes
    and images. ``inputs`` and ``outputs`` are (B, N, D), L2-normalised.
    """
    # S T^T in the place of T S^T: the gradient of its first matrix, the outputs, transposes nothing.
    return symmetric_cross_entropy(batched_product(outputs, inputs.mT / temperature))  # (B, N, N)


@dataclass
class PatchGraph:
    """The graph of one encoder layer as the loss saw it, for pictures and statistics.

    ``ids`` (B, N) flat positions drawn, ``adjacency`` (B, N, N) of the input without the added self-loops,
    ``kept`` one (B, k) a pooling level: indices into ``ids``, best score first.
    """

    ids: Tensor
    adjacency: Tensor
    kept: list[Tensor]

    @property
    def density(self) -> Tensor:
        """The share of possible edges that exist, in [0, 1]."""
        return density(self.adjacency)


class GraphContrastiveLoss(nn.Module):
    """Patch-wise graph contrastive loss (Jung, Kwon and Ye, AAAI 2024), averaged over encoder layers and images.

    Per layer: N random positions of the input's and the output's features become nodes (one shared linear
    embedding, L2-normalised); the adjacency is thresholded similarity; a TAGCN runs over both graphs; matching
    nodes are pulled together by symmetric InfoNCE; then the best-scoring nodes of the input are kept in both
    graphs and the contrast is repeated: ``sum_l w_l L_l / (levels + 1)``.

    Args:
        channels: channels C of every encoder layer's features.
        patches: N, positions drawn an image, layer and call; all of them where the map has fewer.
        embedding: D, channels of a node.
        hops: hops of the first TAGCN.
        threshold: cosine similarity above which two nodes are connected, in [-1, 1].
        adjacency: ``shared`` (the output's graph uses the input's), ``separate`` or ``identity``.
        keep: share of the nodes kept by the first pooling level; each further level keeps half of that.
        level_weights: ``w_0`` and one weight a pooling level; ``[1]`` switches pooling off.
        temperature: of InfoNCE.
    """

    def __init__(
        self,
        channels: Sequence[int],
        patches: int = 256,
        embedding: int = 256,
        hops: int = 2,
        threshold: float = 0.1,
        adjacency: Adjacency = "shared",
        keep: float = 0.25,
        level_weights: Sequence[float] = (1.0, 0.5),
        temperature: float = 0.07,
    ):
        super().__init__()
        if adjacency not in get_args(Adjacency):
            raise ValueError(f"adjacency is {adjacency!r}; it must be one of {', '.join(get_args(Adjacency))}")
        self.patches, self.threshold, self.adjacency, self.keep = patches, threshold, adjacency, keep
        self.level_weights, self.temperature = tuple(level_weights), temperature
        layers, levels = len(channels), len(self.level_weights) - 1
        self.embed = nn.ModuleList(nn.Linear(count, embedding) for count in channels)
        # W_0 ... W_K of a TAGCN lie side by side; those of the pooled graphs have one hop.
        self.gnn = StackedLinear(layers, (hops + 1) * embedding, embedding)
        self.scorers = nn.ModuleList(StackedLinear(layers, embedding, 1) for _ in range(levels))
        self.pool_gnns = nn.ModuleList(StackedLinear(layers, 2 * embedding, embedding) for _ in range(levels))
        self.embed.apply(_initialise)

    def forward(
        self,
        input_features: Sequence[Tensor],
        output_features: Sequence[Tensor],
        patch_ids: Sequence[Tensor] | None = None,
    ) -> tuple[Tensor, list[PatchGraph]]:
        """One (B, C, H, W) an encoder layer for inputs and for outputs; no gradient reaches the inputs' features.

        ``patch_ids``, one (B, N) a layer, replaces the random positions; ValueError if they lie outside of the maps, or
        if inputs and outputs differ in shape. Computed in the type of the weights, also under autocast. Returns the
        loss, a scalar, and the input's graph of each layer.
        """
        patch_ids = choose_patches(input_features, output_features, self.patches, patch_ids)
        given = list(zip(self.embed, input_features, output_features, patch_ids, strict=True))
        total, graphs = 0.0, {}
        # The graph hangs on a threshold, and the loss of good matches is a small difference of large numbers.
        with torch.autocast(input_features[0].device.type, enabled=False):
            for layers in _with_equal_nodes(patch_ids):
                loss, group_graphs = self._of_group(layers, *zip(*(given[layer] for layer in layers), strict=True))
                total = total + len(layers) * loss
                graphs |= zip(layers, group_graphs, strict=True)
        return total / len(given), [graphs[layer] for layer in range(len(given))]

    def _of_group(
        self,
        layers: Sequence[int],
        embeds: Sequence[nn.Linear],
        input_features: Sequence[Tensor],
        output_features: Sequence[Tensor],
        patch_ids: Sequence[Tensor],
    ) -> tuple[Tensor, list[PatchGraph]]:
        """The mean loss of L encoder layers of equally many nodes, as a batch of L*B graphs, and the inputs' graphs."""
        with torch.no_grad():
            inputs = _embed(embeds, input_features, patch_ids)
        outputs = _embed(embeds, output_features, patch_ids)
        own, others = self._adjacencies(inputs, outputs)
        inputs, outputs = self._convolve(inputs, outputs, (own, others), *self.gnn.of(layers))
        total = self.level_weights[0] * info_nce(inputs, outputs, self.temperature)

        adjacencies, kept_ids = (own, others), []
        keep = max(1, int(inputs.shape[1] * self.keep))
        for scorer, gnn, weight in zip(self.scorers, self.pool_gnns, self.level_weights[1:], strict=True):
            scores, kept = choose(inputs, *scorer.of(layers), keep)
            kept_ids.append(kept_ids[-1].gather(1, kept) if kept_ids else kept)
            adjacencies = _of_each(partial(two_hop_adjacency, kept=kept), adjacencies)
            inputs, outputs = gate(inputs, scores, kept), gate(outputs, scores, kept)
            inputs, outputs = self._convolve(inputs, outputs, adjacencies, *gnn.of(layers))
            total = total + weight * info_nce(inputs, outputs, self.temperature)
            keep = max(1, keep // 2)
        return total / len(self.level_weights), _graphs(patch_ids, own, kept_ids)

    def _adjacencies(self, inputs: Tensor, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """The adjacencies (B, N, N) that the input's and the output's graph propagate over: one, unless separate."""
        if self.adjacency == "identity":
            identity = identity_adjacency(inputs)
            return identity, identity
        own = similarity_adjacency(inputs, self.threshold)
        return own, own if self.adjacency == "shared" else similarity_adjacency(outputs, self.threshold)

    def _convolve(
        self,
        inputs: Tensor,
        outputs: Tensor,
        adjacencies: tuple[Tensor, Tensor],
        weights: Tensor,
        biases: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """The new nodes (L*B, N, D) of both graphs; the input's are what is compared with, never what learns."""
        input_propagation, output_propagation = _of_each(self._propagation, adjacencies)
        with torch.no_grad():
            inputs = normalise(self._convolution(inputs, input_propagation, weights, biases))
        return inputs, normalise(self._convolution(outputs, output_propagation, weights, biases))

    # In methods, so that gcl bench can put lists of edges in their place.
    _convolution = staticmethod(convolve)
    _propagation = staticmethod(propagation_matrix)


def _with_equal_nodes(patch_ids: Sequence[Tensor]) -> list[list[int]]:
    """The layers, those of equally many nodes together: maps may have fewer positions than there are patches."""
    groups: dict[int, list[int]] = {}
    for layer, ids in enumerate(patch_ids):
        groups.setdefault(ids.shape[1], []).append(layer)
    return list(groups.values())


def _embed(embeds: Sequence[nn.Linear], features: Sequence[Tensor], patch_ids: Sequence[Tensor]) -> Tensor:
    """The nodes of each layer's ``features`` (B, C, H, W) at its ids (B, N): (L*B, N, D), L2-normalised."""
    nodes = []
    for embed, maps, ids in zip(embeds, features, patch_ids, strict=True):
        patches = gather_patches(maps, ids).to(embed.weight.dtype)  # (B, N, C)
        nodes.append(linear(patches[None], embed.weight[None], embed.bias[None]))  # (1, B, N, D)
    return normalise(torch.cat(nodes).flatten(0, 1))  # (L, B, N, D) -> (L*B, N, D)


def _graphs(patch_ids: Sequence[Tensor], adjacency: Tensor, kept_ids: Sequence[Tensor]) -> list[PatchGraph]:
    """The graph of each layer, from all layers' ``adjacency`` (L*B, N, N) and one ``kept_ids`` (L*B, k) a level."""
    layers = len(patch_ids)
    levels = [kept.chunk(layers) for kept in kept_ids]
    adjacencies = adjacency.chunk(layers)
    return [
        PatchGraph(ids, adjacencies[layer], kept=[level[layer] for level in levels])
        for layer, ids in enumerate(patch_ids)
    ]


def _of_each(function: Callable[[Tensor], Any], pair: tuple[Tensor, Tensor]) -> tuple[Any, Any]:
    """``function`` of both of the ``pair``, computed once where they are one and the same."""
    first, second = pair
    result = function(first)
    return result, result if second is first else function(second)


def _initialise(module: nn.Module) -> None:
    """N(0, 0.02) weights and zero biases, as published."""
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, 0.0, 0.02)
        nn.init.zeros_(module.bias)
