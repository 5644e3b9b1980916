"""The linear layer against torch's own, in float64: both ways of computing it, and the gradients of whatever learns."""

import pytest
import torch
import torch.nn.functional as F

import gcl.linear
from gcl.linear import linear

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


@pytest.fixture(params=["oneDNN", "torch"])
def one_way(request, monkeypatch):
    """Both ways, whatever the processor."""
    if request.param == "oneDNN" and not torch.backends.mkldnn.is_available():
        pytest.skip("this build of PyTorch has no oneDNN")
    monkeypatch.setattr(gcl.linear, "_suits_onednn", lambda *_: request.param == "oneDNN")


@pytest.mark.parametrize("learning", [("nodes", "weight", "bias"), ("nodes",), ("weight",), ("bias",)])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.usefixtures("one_way")
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


@pytest.mark.usefixtures("one_way")
def test_without_bias():
    nodes, weight, _ = drawn("large", torch.float32).values()
    assert_near(linear(nodes, weight), F.linear(nodes.double(), weight.double()))


def test_onednn_gets_large_products_of_float32_where_there_is_avx512():
    large, small = (list(drawn(size, torch.float32).values()) for size in ("large", "small"))
    here = torch.backends.mkldnn.is_available() and torch.backends.cpu.get_cpu_capability() == "AVX512"
    assert gcl.linear._suits_onednn(*large) == here
    assert not gcl.linear._suits_onednn(*small)
    assert not gcl.linear._suits_onednn(*drawn("large", torch.float64).values())
    with torch.backends.mkldnn.flags(enabled=False):
        assert not gcl.linear._suits_onednn(*large)
    with torch.autocast("cpu"):
        assert not gcl.linear._suits_onednn(*large)
        assert linear(*large).dtype == torch.bfloat16


@pytest.mark.parametrize("wrong", [{"nodes": torch.zeros(2, 300, 129)}, {"weight": torch.zeros(256, 128).bfloat16()}])
def test_torch_refuses_what_does_not_fit(wrong):
    with pytest.raises(RuntimeError, match=r"shapes cannot be multiplied|same dtype"):
        linear(**drawn("large", torch.float32) | wrong)
