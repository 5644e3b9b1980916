"""The linear layer against torch's own, in float64: products of every size, and the gradients of whatever learns."""

import pytest
import torch
import torch.nn.functional as F

from gcl.linear import LARGE, linear

SIZES = {"large": (2, 300, 128, 256), "small": (2, 30, 16, 8)}
"""B, N and the channels in and out."""


def drawn(size, dtype, learning=()):
    """Nodes, of which every row is the start of a wider one, weight and bias; gradients for those in ``learning``."""
    batch, count, channels, width = SIZES[size]
    generator = torch.Generator().manual_seed(0)
    shapes = (batch, count, 2 * channels), (width, channels), (width,)
    nodes, weight, bias = (torch.randn(shape, dtype=torch.float64, generator=generator).to(dtype) for shape in shapes)
    tensors = {"nodes": nodes[..., :channels], "weight": weight, "bias": bias}
    return {name: tensor.requires_grad_(name in learning) for name, tensor in tensors.items()}


def assert_near(found, expected):
    torch.testing.assert_close(found.double(), expected.double(), atol=1e-3, rtol=0)


def test_the_sizes_lie_on_both_sides_of_the_limit():
    products = {size: torch.Size(shape).numel() for size, shape in SIZES.items()}
    assert products["small"] < LARGE <= products["large"]


@pytest.mark.parametrize("learning", [("nodes", "weight", "bias"), ("nodes",), ("weight",), ("bias",)])
@pytest.mark.parametrize("size", SIZES)
def test_values_and_gradients_equal_torch_in_float64(size, learning):
    exact, ours = (drawn(size, dtype, learning) for dtype in (torch.float64, torch.float32))
    expected, found = F.linear(*exact.values()), linear(*ours.values())
    assert_near(found, expected)

    direction = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1))
    expected.backward(direction.double())
    found.backward(direction)
    for name in exact:
        assert (ours[name].grad is None) == (name not in learning)
        if name in learning:
            assert_near(ours[name].grad, exact[name].grad)


@pytest.mark.parametrize("size", SIZES)
def test_without_bias_in_float64_and_under_autocast(size):
    nodes, weight, _ = drawn(size, torch.float64).values()
    exact = F.linear(nodes, weight)
    assert torch.equal(linear(nodes, weight), exact)
    assert_near(linear(nodes.float(), weight.float()), exact)
    with torch.autocast("cpu"):
        assert linear(nodes.float(), weight.float()).dtype == torch.bfloat16
