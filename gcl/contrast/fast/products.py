"""Products of large float32 matrices, in about half the time on a CPU with AVX-512.

PyTorch multiplies float32 matrices with MKL, which uses AVX-512 only on Intel's processors, and convolves with oneDNN,
which uses it on any processor that has it. Here large products are given to oneDNN too.
"""

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

LARGE = 2**24
"""The number of multiplications from which a product is large: that of 256 nodes and a 256 x 256 weight. Smaller
products are faster with MKL."""


def linear(rows: Tensor, weights: Tensor, biases: Tensor) -> Tensor:
    """``rows W^T + bias`` for L linear layers at once: (L, ..., in), (L, out, in) and (L, out) give (L, ..., out).

    If each product is large, the result has first derivatives only.
    """
    flat = rows.flatten(1, -2)  # (L, ..., in) -> (L, M, in)
    fits = len(rows) == len(weights) and rows.shape[-1] == weights.shape[2] and biases.shape == weights.shape[:2]
    if fits and _suits_onednn(flat[0].numel() * weights.shape[1], rows, weights, biases):
        product = _OneDNNProducts.apply(flat, weights, biases)
    else:
        product = torch.baddbmm(biases.unsqueeze(1), flat, weights.mT)
    return product.unflatten(1, rows.shape[1:-1])


def batched_product(left: Tensor, right: Tensor) -> Tensor:
    """``left right``, like :func:`torch.bmm`: (B, M, K) and (B, K, N) give (B, M, N).

    If each product is large, the result has first derivatives only.
    """
    fits = left.shape[0] == right.shape[0] and left.shape[2] == right.shape[1]
    if not fits or not _suits_onednn(left.shape[1:].numel() * right.shape[2], left, right):
        return left.bmm(right)
    return _OneDNNProducts.apply(left, right.mT, None)


def _suits_onednn(multiplications: int, *operands: Tensor) -> bool:
    """Whether oneDNN is faster for this many ``multiplications``, and supports the operands."""
    return (
        multiplications >= LARGE
        and all(len(t) and t.device.type == "cpu" and t.dtype == torch.float32 for t in operands)
        and not torch.is_autocast_enabled("cpu")
        and torch.backends.mkldnn.is_available()
        and torch.backends.mkldnn.enabled
        and torch.backends.cpu.get_cpu_capability() == "AVX512"
    )


class _OneDNNProducts(torch.autograd.Function):
    """``rows columns^T + bias``: (B, M, K), (B, N, K) and (B, N) give (B, M, N)."""

    @staticmethod
    def forward(ctx, rows: Tensor, columns: Tensor, biases: Tensor | None) -> Tensor:
        # If the columns were slices of wider rows, oneDNN took 170 ms instead of 0.1 ms. In the backward pass both
        # operands serve as columns.
        rows, columns = _dense(rows), _dense(columns)
        ctx.save_for_backward(rows, columns)
        return _products(rows, columns, biases)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        rows, columns = ctx.saved_tensors
        of_rows, of_columns, of_biases = ctx.needs_input_grad
        return (
            _products(gradient, columns.mT) if of_rows else None,
            _products(gradient.mT, rows.mT) if of_columns else None,
            gradient.sum(dim=1) if of_biases else None,
        )


def _dense(matrices: Tensor) -> Tensor:
    """``matrices`` (B, M, N), copied unless they or their transposes are contiguous in memory."""
    return matrices if matrices.mT.is_contiguous() else matrices.contiguous()


def _products(rows: Tensor, columns: Tensor, biases: Tensor | None = None) -> Tensor:
    """``rows columns^T + bias``: (B, M, K), (B, N, K) and (B, N) give (B, M, N)."""
    each = [None] * len(rows) if biases is None else biases
    products = [_product(*operands) for operands in zip(rows, columns, each, strict=True)]
    return torch.stack(products) if len(products) > 1 else products[0].unsqueeze(0)  # a single product is not copied


def _product(rows: Tensor, columns: Tensor, bias: Tensor | None) -> Tensor:
    """``rows columns^T + bias``: (M, K), (N, K) and (N,) give (M, N)."""
    # This is what torch.compile substitutes for a linear layer. The public function copies the rows and the result.
    return torch.ops.mkldnn._linear_pointwise(rows, columns, bias, "none", [], "")
