"""Values against torch's own functions, derivatives against finite differences and against autograd's."""

import math

import pytest
import torch
import torch.nn.functional as F

from gcl.contrast.fast.derivatives import normalise, propagate, symmetric_cross_entropy


def drawn(*shape):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()


def assert_same(found, expected, variable):
    """Compares values and gradients."""
    torch.testing.assert_close(found, expected)
    direction = torch.randn(found.shape, dtype=found.dtype, generator=torch.Generator().manual_seed(1))
    gradients = [torch.autograd.grad(value, variable, direction) for value in (found, expected)]
    torch.testing.assert_close(*gradients)


def test_normalise():
    vectors = drawn(2, 5, 7)
    assert_same(normalise(vectors), F.normalize(vectors, dim=-1), vectors)
    assert torch.autograd.gradcheck(normalise, vectors)


def test_normalise_of_nothing_is_nothing():
    vectors = torch.zeros(1, 3, requires_grad=True)
    normalise(vectors).sum().backward()
    assert normalise(vectors).tolist() == [[0, 0, 0]]
    assert vectors.grad.isfinite().all()


def test_symmetric_cross_entropy():
    logits = drawn(2, 5, 5)
    matches = torch.arange(5).expand(2, 5)
    # F.cross_entropy has the classes in dimension 1, so it compares within columns; of the transposed, within rows.
    expected = F.cross_entropy(logits.mT, matches) + F.cross_entropy(logits, matches)
    assert_same(symmetric_cross_entropy(logits), expected, logits)
    assert torch.autograd.gradcheck(symmetric_cross_entropy, logits)


def test_the_cross_entropy_of_good_matches_in_bfloat16_is_not_rounded_away():
    logits = (12 * torch.eye(8, dtype=torch.bfloat16)).unsqueeze(0).requires_grad_()
    loss = symmetric_cross_entropy(logits)
    loss.backward()
    assert loss.item() == pytest.approx(2 * math.log1p(7 * math.exp(-12)), rel=1e-2)
    assert logits.grad.dtype == torch.bfloat16 and logits.grad[0, 0, 1] > 0


def test_the_cross_entropy_of_a_hopeless_match_is_finite_and_so_is_its_gradient():
    """The softmax of the right answer is rounded to 0."""
    logits = torch.tensor([[[-200.0, 200.0], [0.0, 0.0]]], requires_grad=True)
    loss = symmetric_cross_entropy(logits)
    loss.backward()
    most = -math.log(torch.finfo(torch.float32).tiny)
    assert loss.item() == pytest.approx((3 * most + math.log(2)) / 2)
    torch.testing.assert_close(logits.grad[0], torch.tensor([[-1.0, 1.0], [0.75, -0.75]]))


def test_propagate():
    matrices, nodes = drawn(2, 5, 5).detach(), drawn(2, 5, 3)
    symmetric = matrices + matrices.mT
    assert_same(propagate(symmetric, nodes), symmetric @ nodes, nodes)
    assert torch.autograd.gradcheck(propagate, (symmetric, nodes))


@pytest.mark.parametrize("function", [normalise, symmetric_cross_entropy])
def test_a_second_derivative_is_refused(function):
    variable = drawn(2, 5, 5)
    (gradient,) = torch.autograd.grad(function(variable).square().sum(), variable, create_graph=True)
    with pytest.raises(RuntimeError, match="differentiate twice"):
        gradient.sum().backward()
