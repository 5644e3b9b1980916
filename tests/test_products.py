"""Products against torch's own, in float64: both ways of computing them, and the gradients of whatever learns."""

import pytest
import torch
import torch.nn.functional as F

import gcl.products
from gcl.products import batched_product, linear

SIZES = {"large": (2, 300, 256, 256), "small": (2, 30, 16, 8)}
"""B, N and the channels in and out."""

EVERYTHING = {linear: ("nodes", "weight", "bias"), batched_product: ("left", "right")}
ORACLES = {linear: F.linear, batched_product: torch.bmm}


def drawn(product, size, dtype, learning=(), transposed=False):
    """The operands by name, gradients for those in ``learning``. Every row of the first and of ``right`` is the start
    of a wider one, or ``right`` is ``transposed``.
    """
    batch, count, channels, width = SIZES[size]
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(shape, dtype=torch.float64, generator=generator).to(dtype)

    first = draw(batch, count, 2 * channels)[..., :channels]
    if product is linear:
        tensors = {"nodes": first, "weight": draw(width, channels), "bias": draw(width)}
    else:
        right = draw(batch, width, channels).mT if transposed else draw(batch, channels, 2 * width)[..., :width]
        tensors = {"left": first, "right": right}
    return {name: tensor.requires_grad_(name in learning) for name, tensor in tensors.items()}


def assert_near(found, expected):
    torch.testing.assert_close(found.double(), expected.double(), atol=1e-3, rtol=0)


@pytest.fixture(params=["oneDNN", "torch"])
def one_way(request, monkeypatch):
    """Both ways, whatever the processor."""
    if request.param == "oneDNN" and not torch.backends.mkldnn.is_available():
        pytest.skip("this build of PyTorch has no oneDNN")
    monkeypatch.setattr(gcl.products, "_suits_onednn", lambda *_: request.param == "oneDNN")


@pytest.mark.parametrize(
    ("product", "learning"),
    [(product, names) for product, every in EVERYTHING.items() for names in (every, *((name,) for name in every))],
)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.usefixtures("one_way")
def test_values_and_gradients_equal_torch_in_float64(product, size, learning):
    exact, ours = (drawn(product, size, dtype, learning) for dtype in (torch.float64, torch.float32))
    expected, found = ORACLES[product](*exact.values()), product(*ours.values())
    assert_near(found, expected)

    direction = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1))
    expected.backward(direction.double())
    found.backward(direction)
    for name in exact:
        assert (ours[name].grad is None) == (name not in learning)
        if name in learning:
            assert_near(ours[name].grad, exact[name].grad)


@pytest.mark.usefixtures("one_way")
def test_linear_without_bias():
    nodes, weight, _ = drawn(linear, "large", torch.float32).values()
    assert_near(linear(nodes, weight), F.linear(nodes.double(), weight.double()))


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.usefixtures("one_way")
def test_batched_product_with_a_transposed_matrix(batch):
    ours = drawn(batched_product, "large", torch.float32, EVERYTHING[batched_product], transposed=True)
    left, right = (operand[:batch] for operand in ours.values())
    found = batched_product(left, right)
    assert_near(found, left.double() @ right.double())
    found.sum().backward()  # its gradient is one number, repeated
    assert_near(ours["left"].grad[:batch], right.double().sum(dim=2, keepdim=True).mT.expand_as(left))
    assert_near(ours["right"].grad[:batch], left.double().sum(dim=1, keepdim=True).mT.expand_as(right))


@pytest.mark.usefixtures("one_way")
def test_similarities_are_symmetric_bit_for_bit():
    """The adjacency of the pooled graph relies on it."""
    nodes = F.normalize(torch.randn(2, 300, 256, generator=torch.Generator().manual_seed(0)), dim=-1)
    similarity = batched_product(nodes, nodes.mT)
    assert torch.equal(similarity, similarity.mT)


@pytest.mark.parametrize("product", EVERYTHING)
def test_onednn_gets_large_products_of_float32_where_there_is_avx512(product, monkeypatch):
    answers = []
    suits = gcl.products._suits_onednn
    monkeypatch.setattr(gcl.products, "_suits_onednn", lambda *given: answers.append(suits(*given)) or answers[-1])

    def goes_to_onednn(size, dtype=torch.float32):
        answers.clear()
        result = product(*drawn(product, size, dtype).values())
        return *answers, result.dtype

    here = torch.backends.mkldnn.is_available() and torch.backends.cpu.get_cpu_capability() == "AVX512"
    assert goes_to_onednn("large") == (here, torch.float32)
    assert goes_to_onednn("small") == (False, torch.float32)
    assert goes_to_onednn("large", torch.float64) == (False, torch.float64)
    with torch.backends.mkldnn.flags(enabled=False):
        assert goes_to_onednn("large") == (False, torch.float32)
    with torch.autocast("cpu"):
        assert goes_to_onednn("large") == (False, torch.bfloat16)


@pytest.mark.parametrize(
    ("product", "wrong"),
    [
        (linear, {"nodes": torch.zeros(2, 300, 257)}),
        (linear, {"weight": torch.zeros(256, 256).bfloat16()}),
        (batched_product, {"right": torch.zeros(2, 257, 256)}),
        (batched_product, {"right": torch.zeros(3, 256, 256)}),
        (batched_product, {"right": torch.zeros(2, 256, 256).bfloat16()}),
    ],
)
def test_torch_refuses_what_does_not_fit(product, wrong):
    with pytest.raises(RuntimeError, match=r"shapes cannot be multiplied|Expected size|dtype"):
        product(**drawn(product, "large", torch.float32) | wrong)
