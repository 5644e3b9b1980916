"""Functions with hand-written derivatives, which pass over fewer large tensors than autograd's would."""

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from gcl.contrast.fast.products import batched_product

SHORTEST = 1e-12
"""The smallest length that vectors are divided by, as in :func:`torch.nn.functional.normalize`."""


def propagate(symmetric: Tensor, nodes: Tensor) -> Tensor:
    """``S x``, (B, N, D), from ``symmetric`` S (B, N, N) and ``nodes`` x (B, N, D). Only the nodes get a gradient."""
    return _Propagate.apply(symmetric, nodes)


def normalise(vectors: Tensor) -> Tensor:
    """``y = x / |x|`` for each of ``vectors`` x (..., D), in the same shape. It has first derivatives only."""
    return _Normalise.apply(vectors)


def symmetric_cross_entropy(logits: Tensor) -> Tensor:
    """The mean cross-entropy over rows plus that over columns of ``logits`` (B, N, N), a scalar.

    The right answers are on the diagonal. Computed in float32 or better, because good matches take the logarithm of
    probabilities near 1. The loss of a row or column is capped at ``-log(tiny)``, 87 in float32; the gradient is not.
    It has first derivatives only.
    """
    return _SymmetricCrossEntropy.apply(logits)


class _Propagate(torch.autograd.Function):
    """The gradient by ``x`` is ``S^T g = S g``, so no matrix has to be transposed."""

    @staticmethod
    def forward(ctx, symmetric: Tensor, nodes: Tensor) -> Tensor:
        ctx.save_for_backward(symmetric)
        return batched_product(symmetric, nodes)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[None, Tensor]:
        return None, batched_product(*ctx.saved_tensors, gradient)


class _Normalise(torch.autograd.Function):
    """The gradient by ``x`` is ``(g - y <y, g>) / |x|``; for vectors below ``SHORTEST`` torch omits the second term."""

    @staticmethod
    def forward(ctx, vectors: Tensor) -> Tensor:
        lengths = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True).clamp_(min=SHORTEST)  # (..., 1)
        units = vectors / lengths
        ctx.save_for_backward(units, lengths)
        return units

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> Tensor:
        units, lengths = ctx.saved_tensors
        along = (units * gradient).sum(dim=-1, keepdim=True)  # (..., 1)
        return torch.addcmul(gradient, units, along, value=-1).div_(lengths)


class _SymmetricCrossEntropy(torch.autograd.Function):
    """The gradient by the logits is ``(softmax over rows + softmax over columns - 2 I) / (B N)``."""

    @staticmethod
    def forward(ctx, logits: Tensor) -> Tensor:
        precise = torch.promote_types(logits.dtype, torch.float32)
        over_rows, over_columns = (logits.softmax(dim, dtype=precise) for dim in (2, 1))
        # The loss is computed from the softmax, which the gradient needs anyway, and not from log_softmax. The softmax
        # rounds the right answer's probability to 0 if its logit is hopelessly low, so the logarithm needs a floor.
        tiny = torch.finfo(precise).tiny
        loss = -sum(p.diagonal(dim1=1, dim2=2).clamp(min=tiny).log().mean() for p in (over_rows, over_columns))
        gradient = over_rows.add_(over_columns)
        gradient.diagonal(dim1=1, dim2=2).sub_(2)
        ctx.save_for_backward(gradient)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx, of_loss: Tensor) -> Tensor:
        (gradient,) = ctx.saved_tensors
        return gradient * (of_loss / gradient[:, 0].numel())
