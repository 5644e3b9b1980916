"""Products of large float32 matrices, on a CPU with AVX-512 in about half the time.

PyTorch multiplies float32 matrices with MKL, which uses AVX-512 on Intel's processors only, and convolves with oneDNN,
which uses it wherever it is. Here large products go to oneDNN too.
"""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

LARGE = 2**24
"""Multiplications of a large product: that of 256 nodes and a 256 x 256 weight. Smaller ones are faster with MKL."""


def linear(nodes: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``nodes W^T + bias``, as :func:`torch.nn.functional.linear`: (..., in), (out, in), (out,) give (..., out).

    Where the product is large it has first derivatives only.
    """
    fits = nodes.shape[-1] == weight.shape[1] and (bias is None or bias.shape == weight.shape[:1])
    if not fits or not _suits_onednn(nodes.numel() * len(weight), nodes, weight, bias):
        return F.linear(nodes, weight, bias)
    return _OneDNNLinear.apply(nodes.flatten(0, -2), weight, bias).unflatten(0, nodes.shape[:-1])


def batched_product(left: Tensor, right: Tensor) -> Tensor:
    """``left right``, as :func:`torch.bmm`: (B, M, K), (B, K, N) give (B, M, N).

    Where each of them is large they have first derivatives only.
    """
    fits = left.shape[0] == right.shape[0] and left.shape[2] == right.shape[1]
    if not fits or not _suits_onednn(left.shape[1:].numel() * right.shape[2], left, right):
        return left.bmm(right)
    return _OneDNNBatchedProduct.apply(left, right)


def _suits_onednn(multiplications: int, *operands: Tensor | None) -> bool:
    """Whether oneDNN is faster, and takes these."""
    return (
        multiplications >= LARGE
        and all(t.device.type == "cpu" and t.dtype == torch.float32 for t in operands if t is not None)
        and not torch.is_autocast_enabled("cpu")
        and torch.backends.mkldnn.is_available()
        and torch.backends.mkldnn.enabled
        and torch.backends.cpu.get_cpu_capability() == "AVX512"
    )


class _OneDNNLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx, nodes: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        # As columns, rows that are parts of wider ones took oneDNN 170 ms in the place of 0.1.
        nodes, weight = nodes.contiguous(), weight.contiguous()
        ctx.save_for_backward(nodes, weight)
        return _product(nodes, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        nodes, weight = ctx.saved_tensors
        of_nodes, of_weight, of_bias = ctx.needs_input_grad
        return (
            _product(gradient, weight.t()) if of_nodes else None,
            _product(gradient.t(), nodes.t()) if of_weight else None,
            gradient.sum(dim=0) if of_bias else None,
        )


class _OneDNNBatchedProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx, left: Tensor, right: Tensor) -> Tensor:
        # It serves as columns, here as it is and transposed: see above.
        right = right if right.mT.is_contiguous() else right.contiguous()
        ctx.save_for_backward(left, right)
        return _products(left, right.mT)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        left, right = ctx.saved_tensors
        of_left, of_right = ctx.needs_input_grad
        gradient = gradient.contiguous()  # columns too
        return (
            _products(gradient, right) if of_left else None,
            _products(left.mT, gradient.mT) if of_right else None,
        )


def _products(rows: Tensor, columns: Tensor) -> Tensor:
    """``rows columns^T`` of (B, M, K) and (B, N, K): (B, M, N)."""
    if len(rows) == 1:
        return _product(rows[0], columns[0]).unsqueeze(0)  # no copy
    return torch.stack([_product(*matrices) for matrices in zip(rows, columns, strict=True)])


def _product(rows: Tensor, columns: Tensor, bias: Tensor | None = None) -> Tensor:
    """``rows columns^T + bias`` of (M, K), (N, K) and (N,): (M, N)."""
    # What torch.compile puts in the place of a linear layer; the public way copies the rows and the result.
    return torch.ops.mkldnn._linear_pointwise(rows, columns, bias, "none", [], "")
