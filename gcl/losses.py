"""The losses: least-squares GAN, InfoNCE between matching nodes, and the patch-wise graph contrastive loss."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.distributed
import torch.nn.functional as F
from torch import Tensor, nn

from gcl.graph import (
    DenseTAGConv,
    SharedTopKPooling,
    add_self_loops,
    density,
    gate,
    identity_adjacency,
    similarity_adjacency,
    symmetric_normalisation,
    two_hop_adjacency,
)
from gcl.products import batched_product, linear

SATURATED = 0.01
"""A discriminator loss below this, averaged between two log lines, no longer teaches the generator."""


def discriminator_loss(fake: Tensor, real: Tensor) -> Tensor:
    """Least squares: ``0.5 * (mean(D(fake)^2) + mean((D(real) - 1)^2))`` of the two score maps."""
    return 0.5 * (fake.square().mean() + (real - 1).square().mean())


def generator_loss(fake: Tensor) -> Tensor:
    """Least squares: ``mean((D(fake) - 1)^2)`` of the score map."""
    return (fake - 1).square().mean()


def info_nce(inputs: Tensor, outputs: Tensor, temperature: float) -> Tensor:
    """Symmetric InfoNCE between matching nodes, negatives being the other nodes of the same image.

    Cross-entropy of ``T S^T / temperature`` over rows PLUS the same over columns, each averaged over nodes
    and images. ``inputs`` and ``outputs`` are (B, N, D), L2-normalised.
    """
    logits = batched_product(inputs / temperature, outputs.transpose(1, 2))  # (B, N, N)
    return cross_entropy_of_matches(logits, dim=2) + cross_entropy_of_matches(logits, dim=1)


def cross_entropy_of_matches(logits: Tensor, dim: int) -> Tensor:
    """Cross-entropy along ``dim`` of ``logits`` (B, N, N) whose right answers stand on the diagonal, averaged.

    In float32 at least: where matches are good it is a small difference of large numbers.
    """
    precise = torch.promote_types(logits.dtype, torch.float32)
    return -logits.log_softmax(dim, dtype=precise).diagonal(dim1=1, dim2=2).mean()


def draw_patches(features: Tensor, patches: int) -> Tensor:
    """Different random positions of a feature map (B, C, H, W) for every image, from torch's global generator.

    Returns flat row-major ids (B, N) with N = min(patches, H * W). Of several processes each draws for the images of
    all and keeps the rows of its own, so that together they do what one does with all images.
    """
    batch, _, height, width = features.shape
    rank, processes = _place_among_processes()
    order = torch.rand(processes * batch, height * width, device=features.device)
    own = order[rank * batch : (rank + 1) * batch]  # (B, H*W)
    return own.topk(min(patches, height * width), largest=False).indices


def _place_among_processes() -> tuple[int, int]:
    """This process's rank and how many there are."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1


def gather_patches(features: Tensor, ids: Tensor) -> Tensor:
    """The feature vectors of ``features`` (B, C, H, W) at flat positions ``ids`` (B, N): (B, N, C)."""
    batch, _, height, width = features.shape
    rows = features.permute(0, 2, 3, 1).flatten(0, 2)  # (B, C, H, W) -> (B*H*W, C): no copy of channels-last features
    first = height * width * torch.arange(batch, device=ids.device).unsqueeze(1)  # (B, 1)
    return rows.index_select(0, (ids + first).flatten()).unflatten(0, ids.shape)  # (B*N, C) -> (B, N, C)


def check_patches(features: Sequence[Tensor], patch_ids: Sequence[Tensor]) -> None:
    """ValueError if the ids of a layer are not (B, N) positions of its features (B, C, H, W)."""
    for layer, (of_layer, ids) in enumerate(zip(features, patch_ids, strict=True)):
        batch, positions = len(of_layer), of_layer[0, 0].numel()
        if ids.ndim != 2 or len(ids) != batch:
            raise ValueError(f"patch_ids[{layer}] has the shape {tuple(ids.shape)}; it must be ({batch}, N)")
        if ids.min() < 0 or ids.max() >= positions:
            raise ValueError(f"patch_ids[{layer}] holds {ids.min()} to {ids.max()}; the map has {positions} positions")


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


class LayerGraphLoss(nn.Module):
    """The graph loss on the features of one encoder layer; see :class:`GraphContrastiveLoss`."""

    def __init__(
        self,
        channels: int,
        embedding: int,
        hops: int,
        threshold: float,
        adjacency: str,
        keep: float,
        level_weights: Sequence[float],
        temperature: float,
    ):
        super().__init__()
        self.threshold, self.adjacency, self.keep = threshold, adjacency, keep
        self.level_weights, self.temperature = tuple(level_weights), temperature
        levels = len(self.level_weights) - 1
        self.embed = nn.Linear(channels, embedding)
        self.gnn = self._convolution(embedding, hops)
        self.pools = nn.ModuleList(SharedTopKPooling(embedding) for _ in range(levels))
        self.pool_gnns = nn.ModuleList(self._convolution(embedding, hops=1) for _ in range(levels))
        self.apply(_initialise)

    def forward(self, input_features: Tensor, output_features: Tensor, ids: Tensor) -> tuple[Tensor, PatchGraph]:
        """Features (B, C, H, W) of input and output, positions ``ids`` (B, N): the loss and the input's graph."""
        with torch.no_grad():
            inputs = self._embed(input_features, ids)
        outputs = self._embed(output_features, ids)
        adjacencies = self._adjacencies(inputs, outputs)
        graph = PatchGraph(ids, adjacencies[0], kept=[])

        inputs, outputs = self._convolve(self.gnn, inputs, outputs, adjacencies)
        total = self.level_weights[0] * info_nce(inputs, outputs, self.temperature)

        keep = max(1, int(ids.shape[1] * self.keep))
        positions = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
        for pool, gnn, weight in zip(self.pools, self.pool_gnns, self.level_weights[1:], strict=True):
            scores, kept = pool.choose(inputs, keep)
            positions = positions.gather(1, kept)
            graph.kept.append(positions)
            adjacencies = _of_each(partial(two_hop_adjacency, kept=kept), adjacencies)
            inputs, outputs = gate(inputs, scores, kept), gate(outputs, scores, kept)
            inputs, outputs = self._convolve(gnn, inputs, outputs, adjacencies)
            total = total + weight * info_nce(inputs, outputs, self.temperature)
            keep = max(1, keep // 2)
        return total / len(self.level_weights), graph

    def _embed(self, features: Tensor, ids: Tensor) -> Tensor:
        patches = gather_patches(features, ids).to(self.embed.weight.dtype)
        return F.normalize(linear(patches, self.embed.weight, self.embed.bias), dim=-1)  # (B, N, D)

    def _adjacencies(self, inputs: Tensor, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """The adjacencies (B, N, N) that the input's and the output's graph propagate over: one, unless separate."""
        if self.adjacency == "identity":
            identity = identity_adjacency(inputs)
            return identity, identity
        own = similarity_adjacency(inputs, self.threshold)
        return own, own if self.adjacency == "shared" else similarity_adjacency(outputs, self.threshold)

    def _convolve(
        self, gnn: nn.Module, inputs: Tensor, outputs: Tensor, adjacencies: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """The new nodes (B, N, D) of both graphs; the input's are what is compared with, never what learns."""
        input_propagation, output_propagation = _of_each(self._propagation, adjacencies)
        with torch.no_grad():
            inputs = F.normalize(gnn(inputs, input_propagation), dim=-1)
        return inputs, F.normalize(gnn(outputs, output_propagation), dim=-1)

    def _convolution(self, width: int, hops: int) -> nn.Module:
        """(nodes (B, N, D), what :meth:`_propagation` gives) -> new nodes (B, N, D)."""
        return DenseTAGConv(width, width, K=hops, normalize=False)

    def _propagation(self, adjacency: Tensor) -> Any:
        """What the convolutions need of ``adjacency`` (B, N, N): here S, the normalised A + I."""
        return symmetric_normalisation(add_self_loops(adjacency))


def _of_each(function: Callable[[Tensor], Any], pair: tuple[Tensor, Tensor]) -> tuple[Any, Any]:
    """``function`` of both of the ``pair``, computed once where they are one and the same."""
    first, second = pair
    result = function(first)
    return result, result if second is first else function(second)


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
        adjacency: str = "shared",
        keep: float = 0.25,
        level_weights: Sequence[float] = (1.0, 0.5),
        temperature: float = 0.07,
    ):
        super().__init__()
        self.patches = patches
        self.layers = nn.ModuleList(
            LayerGraphLoss(count, embedding, hops, threshold, adjacency, keep, level_weights, temperature)
            for count in channels
        )

    def forward(
        self,
        input_features: Sequence[Tensor],
        output_features: Sequence[Tensor],
        patch_ids: Sequence[Tensor] | None = None,
    ) -> tuple[Tensor, list[PatchGraph]]:
        """One (B, C, H, W) an encoder layer for inputs and for outputs; no gradient reaches the inputs' features.

        ``patch_ids``, one (B, N) a layer, replaces the random positions; ValueError if they lie outside of the maps.
        Computed in the type of the weights, also under autocast. Returns the loss, a scalar, and the input's graph of
        each layer.
        """
        if patch_ids is None:
            patch_ids = [draw_patches(features, self.patches) for features in input_features]
        else:
            check_patches(input_features, patch_ids)
        layers = zip(self.layers, input_features, output_features, patch_ids, strict=True)
        # The graph hangs on a threshold, and the loss of good matches is a small difference of large numbers.
        with torch.autocast(input_features[0].device.type, enabled=False):
            results = [layer(inputs.detach(), outputs, ids) for layer, inputs, outputs, ids in layers]
        losses, graphs = zip(*results, strict=True)
        return torch.stack(losses).mean(), list(graphs)


def _initialise(module: nn.Module) -> None:
    """N(0, 0.02) weights and zero biases, as published; PyG's linear layers included."""
    if getattr(module, "weight", None) is not None:
        nn.init.normal_(module.weight, 0.0, 0.02)
    if getattr(module, "bias", None) is not None:
        nn.init.zeros_(module.bias)
