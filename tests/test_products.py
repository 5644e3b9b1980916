"""Products against torch's own in float64: both ways of computing them, and the gradients of whatever learns."""

import pytest
import torch
import torch.nn.functional as F

from gcl.contrast.fast import products
from gcl.contrast.fast.products import batched_product, linear

SIZES = {"large": (2, 300, 256, 256), "small": (2, 30, 16, 8)}
"""B, N and the numbers of channels in and out."""

EVERYTHING = {linear: ("rows", "weights", "biases"), batched_product: ("left", "right")}


def linear_layers(rows, weights, biases):
    """Applies the linear layers one after the other."""
    return torch.stack([F.linear(*layer) for layer in zip(rows, weights, biases, strict=True)])


ORACLES = {linear: linear_layers, batched_product: torch.bmm}


def drawn(product, size, dtype, learning=(), transposed=False):
    """The operands by name; those in ``learning`` get gradients.

    The rows of the first operand are the beginnings of wider rows; those of ``right`` are too, unless ``transposed``.
    """
    batch, count, channels, width = SIZES[size]
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(shape, dtype=torch.float64, generator=generator).to(dtype)

    first = draw(batch, count, 2 * channels)[..., :channels]
    if product is linear:
        tensors = {"rows": first, "weights": draw(batch, width, channels), "biases": draw(batch, width)}
    else:
        right = draw(batch, width, channels).mT if transposed else draw(batch, channels, 2 * width)[..., :width]
        tensors = {"left": first, "right": right}
    return {name: tensor.requires_grad_(name in learning) for name, tensor in tensors.items()}


def assert_near(found, expected):
    torch.testing.assert_close(found.double(), expected.double(), atol=1e-3, rtol=0)


@pytest.fixture(params=["oneDNN", "torch"])
def one_way(request, monkeypatch):
    """Forces one way of computing and then the other, whatever the processor."""
    if request.param == "oneDNN" and not torch.backends.mkldnn.is_available():
        pytest.skip("this build of PyTorch has no oneDNN")
    monkeypatch.setattr(products, "_suits_onednn", lambda *_: request.param == "oneDNN")


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


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.usefixtures("one_way")
def test_linear_layers_of_any_rows(layers):
    rows, weights, biases = (operand[:layers] for operand in drawn(linear, "large", torch.float32).values())
    found = linear(rows.unflatten(1, (3, 100)), weights, biases)
    assert found.shape == (layers, 3, 100, 256)
    assert_near(found.flatten(1, 2), linear_layers(rows.double(), weights.double(), biases.double()))


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


@pytest.mark.parametrize("count", [20, 128, 256, 300])
@pytest.mark.usefixtures("one_way")
def test_similarities_are_symmetric_bit_for_bit(count):
    """The adjacency of the pooled graph and the gradient of what is propagated rely on it."""
    nodes = F.normalize(torch.randn(2, count, 256, generator=torch.Generator().manual_seed(0)), dim=-1)
    similarity = batched_product(nodes, nodes.mT)
    assert torch.equal(similarity, similarity.mT)


@pytest.fixture
def columns(monkeypatch):
    """The column operands of all products that oneDNN is given."""
    given, product = [], products._product
    monkeypatch.setattr(products, "_product", lambda *operands: given.append(operands[1]) or product(*operands))
    return given


@pytest.mark.parametrize("product", EVERYTHING)
def test_onednn_gets_large_products_of_float32_where_there_is_avx512(product, columns):
    def goes_to_onednn(size, dtype=torch.float32):
        columns.clear()
        result = product(*drawn(product, size, dtype).values())
        return bool(columns), result.dtype

    here = torch.backends.mkldnn.is_available() and torch.backends.cpu.get_cpu_capability() == "AVX512"
    assert goes_to_onednn("large") == (here, torch.float32)
    assert goes_to_onednn("small") == (False, torch.float32)
    assert goes_to_onednn("large", torch.float64) == (False, torch.float64)
    with torch.backends.mkldnn.flags(enabled=False):
        assert goes_to_onednn("large") == (False, torch.float32)
    with torch.autocast("cpu"):
        assert goes_to_onednn("large") == (False, torch.bfloat16)


def test_a_batch_of_small_products_stays_with_torch(columns):
    batched_product(torch.zeros(2, 200, 256), torch.zeros(2, 256, 256))  # 13 million multiplications each
    assert not columns


def test_an_empty_batch():
    for large in (1, 100):
        left, right = torch.zeros(0, 3 * large, 5 * large), torch.zeros(0, 5 * large, 4 * large)
        assert batched_product(left, right).shape == (0, 3 * large, 4 * large)


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this build of PyTorch has no oneDNN")
class TestOneDNN:
    """oneDNN's way of computing, and which operands it may be given, whatever the processor."""

    @pytest.fixture(autouse=True)
    def always(self, monkeypatch):
        monkeypatch.setattr(products, "_suits_onednn", lambda *_: True)

    @pytest.mark.parametrize("product", EVERYTHING)
    def test_its_columns_lie_in_one_piece(self, product, columns):
        """Columns that do not take it a thousand times as long."""
        operands = drawn(product, "small", torch.float32, EVERYTHING[product])
        if product is linear:
            operands["weights"] = torch.randn(2, 8, 32)[..., :16].requires_grad_()
        product(*operands.values()).sum().backward()  # the gradient is one number, repeated
        assert len(columns) == 6
        assert all(given.is_contiguous() or given.t().is_contiguous() for given in columns)

    @pytest.mark.parametrize("product", EVERYTHING)
    def test_it_computes_no_gradient_that_nothing_needs(self, product, columns):
        first, *_ = EVERYTHING[product]
        product(*drawn(product, "small", torch.float32, [first]).values()).sum().backward()
        assert len(columns) == 4

    @pytest.mark.parametrize("product", EVERYTHING)
    def test_a_second_derivative_is_refused(self, product):
        operands = drawn(product, "small", torch.float32, EVERYTHING[product])
        first = next(iter(operands.values()))
        (gradient,) = torch.autograd.grad(product(*operands.values()).square().sum(), first, create_graph=True)
        with pytest.raises(RuntimeError, match="differentiate twice"):
            gradient.sum().backward()


@pytest.mark.parametrize(
    ("product", "wrong", "reason"),
    [
        (linear, {"rows": torch.zeros(2, 300, 257)}, "Expected size for first two dimensions"),
        (linear, {"rows": torch.zeros(3, 300, 256)}, "must match"),
        (linear, {"weights": torch.zeros(2, 256, 256).bfloat16()}, "same dtype"),
        (linear, {"biases": torch.zeros(2, 255)}, "must match"),
        (batched_product, {"right": torch.zeros(2, 257, 256)}, "Expected size for first two dimensions"),
        (batched_product, {"right": torch.zeros(3, 256, 256)}, "Expected size for first two dimensions"),
        (batched_product, {"right": torch.zeros(2, 256, 256).bfloat16()}, "same dtype"),
    ],
)
def test_torch_refuses_what_does_not_fit(product, wrong, reason):
    with pytest.raises(RuntimeError, match=reason):
        product(**drawn(product, "large", torch.float32) | wrong)
