"""Functions of nodes whose derivative, written out, passes over fewer large tensors than autograd's."""

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from gcl.contrast.fast.products import batched_product

SHORTEST = 1e-12
"""Vectors are divided by no less than this, as in :func:`torch.nn.functional.normalize`."""


def propagate(symmetric: Tensor, nodes: Tensor) -> Tensor:
    """``S x`` of ``symmetric`` S (B, N, N) and ``nodes`` x (B, N, D): (B, N, D). Only the nodes have derivatives."""
    return _Propagate.apply(symmetric, nodes)


def normalise(vectors: Tensor) -> Tensor:
    """``y = x / |x|`` of each of ``vectors`` x (..., D): the same shape. It has first derivatives only."""
    return _Normalise.apply(vectors)


def symmetric_cross_entropy(logits: Tensor) -> Tensor:
    """The cross-entropies over rows and over columns of ``logits`` (B, N, N), each averaged, added up: a scalar.

    The right answers stand on the diagonal. In float32 at least: where matches are good it is the logarithm of numbers
    near 1. No row or column counts more than ``-log(tiny)``, 87 in float32; the gradient goes on as if they did. It has
    first derivatives only.
    """
    return _SymmetricCrossEntropy.apply(logits)


class _Propagate(torch.autograd.Function):
    """The gradient of ``x`` is ``S^T g = S g``, which transposes nothing."""

    @staticmethod
    def forward(ctx, symmetric: Tensor, nodes: Tensor) -> Tensor:
        ctx.save_for_backward(symmetric)
        return batched_product(symmetric, nodes)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[None, Tensor]:
        return None, batched_product(*ctx.saved_tensors, gradient)


class _Normalise(torch.autograd.Function):
    """The gradient of ``x`` is ``(g - y <y, g>) / |x|``; below ``SHORTEST`` torch leaves out the second term."""

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
    """The gradient of the logits is ``(softmax over rows + softmax over columns - 2 I) / (B N)``."""

    @staticmethod
    def forward(ctx, logits: Tensor) -> Tensor:
        precise = torch.promote_types(logits.dtype, torch.float32)
        over_rows, over_columns = (logits.softmax(dim, dtype=precise) for dim in (2, 1))
        # Of softmax, which the gradient is made of; it rounds the right answer to 0 where it is hopelessly far off.
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
