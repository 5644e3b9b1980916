"""PatchNCE, the contrastive loss of the baseline CUT (Park, Efros, Zhang and Zhu, ECCV 2020).

Its projection of patches serves SRC too (``gcl/contrast/semantic_relation.py``).
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gcl.contrast.patches import choose_patches, gather_patches


def patch_nce(outputs: Tensor, inputs: Tensor, temperature: float) -> Tensor:
    """InfoNCE that asks each output patch for the input patch of its place, among all input patches of its image.

    ``-log(exp(q_i k_i / t) / sum_j exp(q_i k_j / t))``, averaged over patches and images. ``outputs`` q and
    ``inputs`` k are (B, N, D), L2-normalised. In float32 at least: where matches are good the cross-entropy is a small
    difference of large numbers.
    """
    logits = outputs @ (inputs / temperature).transpose(1, 2)  # (B, N, N)
    precise = torch.promote_types(logits.dtype, torch.float32)
    return -logits.log_softmax(dim=2, dtype=precise).diagonal(dim1=1, dim2=2).mean()


class ProjectedPatchLoss(nn.Module):
    """A loss of patches that first pass a two-layer perceptron per layer and are L2-normalised, averaged over layers.

    Subclasses say in :meth:`compare` how the output patches of a layer are compared with the input patches.

    Args:
        channels: channels C of every layer's features.
        patches: N, positions drawn per image, layer and call; all of them where the map has fewer.
        embedding: D, width of the perceptrons.
    """

    def __init__(self, channels: Sequence[int], patches: int, embedding: int):
        super().__init__()
        self.patches = patches
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(count, embedding), nn.ReLU(), nn.Linear(embedding, embedding)) for count in channels
        )
        self.apply(_initialise)

    def forward(
        self,
        input_features: Sequence[Tensor],
        output_features: Sequence[Tensor],
        patch_ids: Sequence[Tensor] | None = None,
    ) -> Tensor:
        """One (B, C, H, W) per layer for inputs and for outputs: a scalar; nothing learns through the inputs.

        ``patch_ids``, one (B, N) per layer, replaces the random positions; ValueError if they lie outside of the maps,
        or features differ in shape.
        """
        patch_ids = choose_patches(input_features, output_features, self.patches, patch_ids)
        losses = []
        for head, inputs, outputs, ids in zip(self.heads, input_features, output_features, patch_ids, strict=True):
            with torch.no_grad():
                keys = _project(head, inputs, ids)
            losses.append(self.compare(_project(head, outputs, ids), keys))
        return torch.stack(losses).mean()

    def compare(self, outputs: Tensor, inputs: Tensor) -> Tensor:
        """The loss of one layer, a scalar, from projected patches (B, N, D) of outputs and inputs."""
        raise NotImplementedError


class PatchNCE(ProjectedPatchLoss):
    """PatchNCE averaged over layers.

    Args:
        channels, patches, embedding: as in :class:`ProjectedPatchLoss`.
        temperature: of InfoNCE.
    """

    def __init__(self, channels: Sequence[int], patches: int = 256, embedding: int = 256, temperature: float = 0.07):
        super().__init__(channels, patches, embedding)
        self.temperature = temperature

    def compare(self, outputs: Tensor, inputs: Tensor) -> Tensor:
        """The :func:`patch_nce` of one layer."""
        return patch_nce(outputs, inputs, self.temperature)


def _project(head: nn.Module, features: Tensor, ids: Tensor) -> Tensor:
    return F.normalize(head(gather_patches(features, ids)), dim=-1)  # (B, N, D)


def _initialise(module: nn.Module) -> None:
    """Xavier with gain 0.02 and zero biases, as published."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_normal_(module.weight, gain=0.02)
        nn.init.zeros_(module.bias)
