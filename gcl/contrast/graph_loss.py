"""The patch-wise graph contrastive loss."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gcl.contrast.adjacency import ADJACENCIES
from gcl.contrast.convolutions import build_convolution
from gcl.contrast.fast.derivatives import normalise
from gcl.contrast.fast.products import linear
from gcl.contrast.fast.stacked_linear import StackedLinear
from gcl.contrast.graph_pair import GraphPair
from gcl.contrast.patch_graph import PatchGraph, split_by_layer
from gcl.contrast.patches import choose_patches, gather_patches
from gcl.contrast.pooling import topk


class GraphContrastiveLoss(nn.Module):
    """Patch-wise graph contrastive loss (Jung, Kwon and Ye, AAAI 2024), averaged over encoder layers and images.

    The steps for each encoder layer, as in arXiv 2312.08223; the code refers to them by these numbers:

    1. Nodes: N random positions of the input's features and the same of the output's, each embedded by one shared
       linear layer and L2-normalised: t (input) and s (output).
    2. Adjacency: ``A = [t t^T > threshold]`` of the input, which serves both graphs.
    3. Node features: one TAGCN over both graphs, ``h = sum_k S^k x W_k + bias``, ``S = D^-1/2 (A + I) D^-1/2``.
    4. Contrast: symmetric InfoNCE between matching nodes of the two graphs.
    5. Pooling: both graphs keep the k nodes that score best in the input's graph. Their features are multiplied by
       their scores, and nodes that were connected within two hops become neighbours. Then steps 3 and 4 are repeated,
       with one hop.
    6. Sum: ``(w_0 L_0 + w_1 L_1 + ...) / (levels + 1)``.

    Args:
        channels: the number of channels C of each encoder layer's features.
        patches: N, the number of positions drawn per image, layer and call; all of them if the map has fewer.
        embedding: D, channels of a node.
        hops: K, hops of the unpooled graph's convolution.
        threshold: cosine similarity above which two nodes are connected, in [-1, 1].
        adjacency: one of :data:`gcl.contrast.adjacency.ADJACENCIES`: ``shared``, ``separate`` or ``identity``.
        keep: the share of all nodes kept by the first pooling level; each further level keeps half as many as the last.
        level_weights: ``w_0`` and one weight per pooling level; ``[1]`` switches pooling off.
        temperature: the temperature of InfoNCE.
        convolution: ``tag``, the paper's TAGCN, or the class name of a graph convolution of torch-geometric; UserError
            if there is no such convolution or it is not suitable.
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
        convolution: str = "tag",
    ):
        super().__init__()
        if adjacency not in ADJACENCIES:
            raise ValueError(f"adjacency is {adjacency!r}; it must be one of {', '.join(ADJACENCIES)}")
        self.patches, self.threshold, self.adjacency, self.keep = patches, threshold, adjacency, keep
        self.level_weights, self.temperature = tuple(level_weights), temperature
        layers, levels = len(channels), len(self.level_weights) - 1
        self.embed = nn.ModuleList(nn.Linear(count, embedding) for count in channels)
        self.gnn = build_convolution(convolution, layers, embedding, hops)
        self.scorers = nn.ModuleList(StackedLinear(layers, embedding, 1) for _ in range(levels))
        self.pool_gnns = nn.ModuleList(build_convolution(convolution, layers, embedding, hops=1) for _ in range(levels))
        self.embed.apply(_initialise)

    def forward(
        self,
        input_features: Sequence[Tensor],
        output_features: Sequence[Tensor],
        patch_ids: Sequence[Tensor] | None = None,
    ) -> tuple[Tensor, list[PatchGraph]]:
        """Returns the loss, a scalar, and the inputs' graphs of each layer.

        The features are one (B, C, H, W) per encoder layer, for inputs and outputs; the inputs' get no gradient.
        ``patch_ids``, one (B, N) per layer, replaces the random positions. ValueError if they are outside the maps, or
        if the features of inputs and outputs differ in shape. Computed in the type of the weights, even under autocast.
        """
        patch_ids = choose_patches(input_features, output_features, self.patches, patch_ids)
        given = list(zip(self.embed, input_features, output_features, patch_ids, strict=True))
        total, graphs = 0.0, {}
        # In lower precision, similarities would cross the threshold, and the loss of good matches is a small difference
        # of large numbers.
        with torch.autocast(input_features[0].device.type, enabled=False):
            for layers in _with_equal_nodes(patch_ids):
                loss, group_graphs = self._of_layers(layers, *zip(*(given[layer] for layer in layers), strict=True))
                total = total + len(layers) * loss
                graphs |= zip(layers, group_graphs, strict=True)
        return total / len(given), [graphs[layer] for layer in range(len(given))]

    def _of_layers(
        self,
        layers: Sequence[int],
        embeds: Sequence[nn.Linear],
        input_features: Sequence[Tensor],
        output_features: Sequence[Tensor],
        patch_ids: Sequence[Tensor],
    ) -> tuple[Tensor, list[PatchGraph]]:
        """The mean loss and the inputs' graphs of L encoder layers with equally many nodes: a batch of L*B graphs."""
        # 1. Nodes: t and s, (L*B, N, D).
        with torch.no_grad():
            inputs = _embed(embeds, input_features, patch_ids)
        outputs = _embed(embeds, output_features, patch_ids)
        # 2. Adjacency: A of the inputs and, unless it is shared, that of the outputs, (L*B, N, N).
        adjacency, output_adjacency = ADJACENCIES[self.adjacency](inputs, outputs, self.threshold)
        pair = GraphPair(layers, inputs, outputs, adjacency, output_adjacency)
        # 3. Node features, and 4. contrast, of all nodes.
        pair = pair.convolve(self.gnn)
        total = self.level_weights[0] * pair.contrast(self.temperature)

        kept_ids, kept_scores, keep = [], [], max(1, int(inputs.shape[1] * self.keep))
        for scorer, gnn, weight in zip(self.scorers, self.pool_gnns, self.level_weights[1:], strict=True):
            # 5. Pooling to k nodes, then their features and contrast.
            scores, kept = topk(pair.inputs, *scorer.of(layers), keep)  # (L*B, k)
            kept_ids.append(kept_ids[-1].gather(1, kept) if kept_ids else kept)
            kept_scores.append(scores)
            pair = pair.pool(scores, kept)
            pair = pair.convolve(gnn)
            total = total + weight * pair.contrast(self.temperature)
            keep = max(1, keep // 2)
        # 6. Sum over levels.
        graphs = split_by_layer(input_features, patch_ids, inputs, adjacency, kept_ids, kept_scores)
        return total / len(self.level_weights), graphs


def _with_equal_nodes(patch_ids: Sequence[Tensor]) -> list[list[int]]:
    """Groups the layers by their numbers of nodes, which differ if a map has fewer positions than patches to draw."""
    groups: dict[int, list[int]] = {}
    for layer, ids in enumerate(patch_ids):
        groups.setdefault(ids.shape[1], []).append(layer)
    return list(groups.values())


def _embed(embeds: Sequence[nn.Linear], features: Sequence[Tensor], patch_ids: Sequence[Tensor]) -> Tensor:
    """The nodes (L*B, N, D), L2-normalised, from each layer's ``features`` (B, C, H, W) at its ids (B, N)."""
    nodes = []
    for embed, maps, ids in zip(embeds, features, patch_ids, strict=True):
        patches = gather_patches(maps, ids).to(embed.weight.dtype)  # (B, N, C)
        nodes.append(linear(patches[None], embed.weight[None], embed.bias[None]))  # (1, B, N, D)
    return normalise(torch.cat(nodes).flatten(0, 1))  # (L, B, N, D) -> (L*B, N, D)


def _initialise(module: nn.Module) -> None:
    """Initialises linear layers with N(0, 0.02) weights and zero biases, as published."""
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, 0.0, 0.02)
        nn.init.zeros_(module.bias)
