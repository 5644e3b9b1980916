"""SRC, the semantic relation loss (Jung, Kwon and Ye, CVPR 2022): relations are kept and hard negatives count more."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from gcl.contrast.patch_nce import ProjectedPatchLoss


def semantic_relation_consistency(outputs: Tensor, inputs: Tensor) -> Tensor:
    """How much the relations among the output patches differ from those among the input patches, in [0, log 2].

    The Jensen-Shannon divergence ``(KL(P_i | M_i) + KL(Q_i | M_i)) / 2``, ``M_i = (P_i + Q_i) / 2``, averaged over
    patches i and images. P_i is the softmax of the cosines ``z_i z_j`` of input patch i with all input patches j of its
    image, itself included, Q_i that of the output patches w. ``outputs`` w and ``inputs`` z are (B, N, D),
    L2-normalised; nothing learns through the inputs. In float32 at least.
    """
    of_inputs = _similarities(inputs.detach(), inputs.detach()).log_softmax(dim=2)  # (B, N, N)
    of_outputs = _similarities(outputs, outputs).log_softmax(dim=2)
    mixture = torch.logaddexp(of_inputs, of_outputs) - math.log(2)
    divergences = [(log.exp() * (log - mixture)).sum(dim=2) for log in (of_inputs, of_outputs)]  # (B, N) each
    return 0.5 * (divergences[0] + divergences[1]).mean()


def hard_negative_contrast(outputs: Tensor, inputs: Tensor, temperature: float, hardness: float) -> Tensor:
    """Decoupled InfoNCE: each output patch asks for the input patch of its place; harder negatives count more.

    ``log((N - 1) sum_j p_ij exp(w_i z_j / t)) - w_i z_i / t``, averaged over patches i and images; j runs over the
    other input patches of the image. The weights ``p_ij = exp(h z_i z_j) / sum_k exp(h z_i z_k)``, k as j, prefer
    negatives that resemble the right answer; nothing learns through them. With hardness h = 0 all count alike. The
    right answer is not among the negatives (decoupled), so that good matches give numbers below 0.

    ``outputs`` w and ``inputs`` z are (B, N, D), L2-normalised; ValueError if N is 1. In float32 at least.
    """
    patches = inputs.shape[1]
    if patches < 2:
        raise ValueError("a contrast with the other patches of an image needs at least 2 patches, not 1")
    itself = torch.eye(patches, dtype=torch.bool, device=inputs.device)
    relations = hardness * _similarities(inputs.detach(), inputs.detach())  # (B, N, N)
    log_weights = relations.masked_fill(itself, -math.inf).log_softmax(dim=2)
    logits = _similarities(outputs, inputs) / temperature
    negatives = (logits + log_weights).logsumexp(dim=2) + math.log(patches - 1)
    return (negatives - logits.diagonal(dim1=1, dim2=2)).mean()


class SemanticRelationLoss(ProjectedPatchLoss):
    """SRC averaged over layers: the contrast with hard negatives plus the consistency of relations.

    The published hardness grows during training; here it stays the same. The weights multiply exponentials, as in the
    paper; the authors' code multiplies cosines, and ends at about the weights of hardness 1 (``HDCE_gamma_min`` 10).

    Args:
        channels, patches, embedding: as in :class:`ProjectedPatchLoss`.
        temperature: of the contrast.
        hardness: of the negatives, at least 0; 0 weighs all alike.
        relation_weight: of the consistency of relations, beside a contrast of weight 1.
    """

    def __init__(
        self,
        channels: Sequence[int],
        patches: int = 256,
        embedding: int = 256,
        temperature: float = 0.07,
        hardness: float = 1.0,
        relation_weight: float = 128.0,
    ):
        super().__init__(channels, patches, embedding)
        self.temperature, self.hardness, self.relation_weight = temperature, hardness, relation_weight

    def compare(self, outputs: Tensor, inputs: Tensor) -> Tensor:
        """The :func:`hard_negative_contrast` plus the weighted :func:`semantic_relation_consistency` of one layer."""
        contrast = hard_negative_contrast(outputs, inputs, self.temperature, self.hardness)
        return contrast + self.relation_weight * semantic_relation_consistency(outputs, inputs)


def _similarities(queries: Tensor, keys: Tensor) -> Tensor:
    """The cosines (B, N, N) of L2-normalised patches (B, N, D), in float32 at least."""
    cosines = queries @ keys.transpose(1, 2)
    return cosines.to(torch.promote_types(cosines.dtype, torch.float32))
