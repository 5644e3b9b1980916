"""The bare convolutions of a training step: recorded from a real step, then repeated with nothing between them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

FORWARD, BACKWARD = torch.ops.aten.convolution.default, torch.ops.aten.convolution_backward.default


@dataclass(frozen=True)
class Layout:
    """A tensor without its contents."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device

    @classmethod
    def of(cls, tensor: Tensor) -> "Layout":
        """The layout of ``tensor``."""
        return cls(tuple(tensor.shape), tensor.stride(), tensor.dtype, tensor.device)

    def filled(self) -> Tensor:
        """A tensor of this layout, filled with small random numbers."""
        return torch.empty_strided(self.shape, self.strides, dtype=self.dtype, device=self.device).normal_(std=0.1)


@dataclass(frozen=True)
class Convolution:
    """One call as PyTorch dispatched it: forward, or backward to those of input, weight and bias that need a gradient.

    ``arguments`` are the operator's arguments (stride, padding, groups, ...), with each tensor replaced by its
    :class:`Layout`.
    """

    operator: Callable[..., Any]
    arguments: tuple[Any, ...]

    @property
    def backward(self) -> bool:
        """Whether this computes gradients."""
        return self.operator is BACKWARD


class _Recorder(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.convolutions: list[Convolution] = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function in (FORWARD, BACKWARD):
            self.convolutions.append(Convolution(function, tree_map_only(Tensor, Layout.of, tuple(args))))
        return function(*args, **(kwargs or {}))


def record_convolutions(step: Callable[[], object]) -> list[Convolution]:
    """Records every convolution that ``step`` computes, in order, including those of its backward passes."""
    with _Recorder() as recorder:
        step()
    return recorder.convolutions


def bare(convolutions: Sequence[Convolution]) -> Callable[[], None]:
    """Returns a function that computes all ``convolutions``.

    Tensors with the same layout are the same tensor, so that they need less memory than those of a step.
    """
    tensors: dict[Layout, Tensor] = {}

    def tensor(layout: Layout) -> Tensor:
        if layout not in tensors:
            tensors[layout] = layout.filled()
        return tensors[layout]

    prepared = [(call.operator, tree_map_only(Layout, tensor, call.arguments)) for call in convolutions]

    @torch.no_grad()
    def run() -> None:
        for operator, arguments in prepared:
            operator(*arguments)

    return run
