"""SRC against closed forms, SciPy's Jensen-Shannon distance and a contrast in plain loops."""

import math

import pytest
import torch
import torch.nn.functional as F
from scipy.spatial.distance import jensenshannon

from gcl.contrast.patch_nce import PatchNCE
from gcl.contrast.semantic_relation import SemanticRelationLoss, hard_negative_contrast, semantic_relation_consistency


def random_patches(*shape, **options):
    return F.normalize(torch.randn(*shape, **options), dim=-1)


def at_angles(*degrees):
    """Unit vectors (1, N, 2) of the plane at these angles; their cosines are those of the differences."""
    angles = torch.tensor(degrees, dtype=torch.float64).deg2rad()
    return torch.stack([angles.cos(), angles.sin()], dim=1).unsqueeze(0)


def contrast_in_loops(outputs, inputs, temperature, hardness):
    """The contrast by its definition; the weights are plain numbers, so that they get no gradient."""
    losses = []
    for image_outputs, image_inputs in zip(outputs, inputs, strict=True):
        for i, (query, match) in enumerate(zip(image_outputs, image_inputs, strict=True)):
            others = [key for j, key in enumerate(image_inputs) if j != i]
            weights = [math.exp(hardness * (match @ key).item()) for key in others]
            expected = sum(
                weight / sum(weights) * torch.exp(query @ key / temperature)
                for weight, key in zip(weights, others, strict=True)
            )
            losses.append(-torch.log(torch.exp(query @ match / temperature) / (len(others) * expected)))
    return sum(losses) / len(losses)


def test_relations_of_two_patches():
    """The softmax gives each of two orthogonal patches e / (e + 1) for itself, and each of two equal ones 1/2."""
    itself, other = math.e / (math.e + 1), 1 / (math.e + 1)
    mixture = (itself + 0.5) / 2, (other + 0.5) / 2
    expected = 0.5 * (
        itself * math.log(itself / mixture[0])
        + other * math.log(other / mixture[1])
        + 0.5 * math.log(0.5 / mixture[0])
        + 0.5 * math.log(0.5 / mixture[1])
    )
    apart, alike = at_angles(0, 90), at_angles(30, 30)
    assert semantic_relation_consistency(apart, alike).item() == pytest.approx(expected, rel=1e-9)
    assert semantic_relation_consistency(alike, apart).item() == pytest.approx(expected, rel=1e-9)


def test_relations_against_scipy():
    torch.manual_seed(0)
    outputs, inputs = random_patches(2, 7, 5), random_patches(2, 7, 5)
    expected = [
        jensenshannon((w @ w.T).softmax(dim=1), (z @ z.T).softmax(dim=1), axis=1) ** 2
        for w, z in zip(outputs, inputs, strict=True)
    ]
    found = semantic_relation_consistency(outputs, inputs).item()
    assert found == pytest.approx(sum(image.mean() for image in expected) / 2, rel=1e-4)


def test_equal_relations_differ_by_nothing_whichever_way_the_outputs_are_turned():
    torch.manual_seed(0)
    inputs, outputs = random_patches(2, 9, 6, dtype=torch.float64), random_patches(2, 9, 6, dtype=torch.float64)
    rotation = torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64)).Q
    assert semantic_relation_consistency(inputs @ rotation, inputs).item() == pytest.approx(0, abs=1e-14)
    unturned = semantic_relation_consistency(outputs, inputs).item()
    assert semantic_relation_consistency(outputs @ rotation, inputs).item() == pytest.approx(unturned, rel=1e-9)
    assert unturned > 1e-3


def test_relations_with_nothing_in_common_differ_by_log_2_and_never_more():
    """Long vectors make the distributions one-hot: both inputs resemble the second one, each output only itself."""
    inputs, outputs = torch.tensor([[[30.0, 0], [90, 0]]]), torch.tensor([[[90.0, 0], [0, 90]]])
    assert semantic_relation_consistency(outputs, inputs).item() == pytest.approx(math.log(2) / 2, rel=1e-6)


@pytest.mark.parametrize("hardness", [0.0, 1.0, 5.0])
def test_contrast_of_three_patches(hardness):
    """The cosine is 1/2 for the first two patches, -1 for the first and the last, and -1/2 for the last two."""
    patches, temperature = at_angles(0, 60, 180), 0.5
    losses = []
    for first, second in [(0.5, -1), (0.5, -0.5), (-1, -0.5)]:
        weights = math.exp(hardness * first), math.exp(hardness * second)
        weighted = weights[0] * math.exp(first / temperature) + weights[1] * math.exp(second / temperature)
        losses.append(math.log(2 * weighted / sum(weights)) - 1 / temperature)
    found = hard_negative_contrast(patches, patches, temperature, hardness).item()
    assert found == pytest.approx(sum(losses) / 3, rel=1e-9)


def test_one_negative_weighs_all_there_is_to_weigh():
    """The match is not among the negatives, so orthogonal patches give 0 - 1/t at any hardness."""
    patches = at_angles(0, 90)
    assert hard_negative_contrast(patches, patches, 0.07, 3.0).item() == pytest.approx(-1 / 0.07, rel=1e-9)


@pytest.mark.parametrize("hardness", [0.0, 1.5, 20.0])
def test_contrast_and_gradients_against_plain_loops(hardness):
    torch.manual_seed(0)
    outputs, inputs = (random_patches(2, 6, 5, dtype=torch.float64).requires_grad_() for _ in range(2))
    losses = [function(outputs, inputs, 0.2, hardness) for function in (hard_negative_contrast, contrast_in_loops)]
    assert losses[0].item() == pytest.approx(losses[1].item(), rel=1e-9)
    gradients = [torch.autograd.grad(loss, [outputs, inputs]) for loss in losses]
    for found, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(found, expected)


def test_without_hardness_all_negatives_count_alike():
    torch.manual_seed(0)
    outputs, inputs = random_patches(1, 8, 5), random_patches(1, 8, 5)
    logits = (outputs @ inputs.mT / 0.07)[0]
    expected = logits.masked_fill(torch.eye(8, dtype=torch.bool), -torch.inf).logsumexp(dim=1) - logits.diagonal()
    assert hard_negative_contrast(outputs, inputs, 0.07, 0.0).item() == pytest.approx(expected.mean().item(), rel=1e-5)


def test_with_great_hardness_only_the_negative_nearest_to_the_match_counts():
    torch.manual_seed(0)
    outputs, inputs = random_patches(1, 8, 5), random_patches(1, 8, 5)
    nearest = (inputs @ inputs.mT)[0].fill_diagonal_(-2).argmax(dim=1)
    cosines = (outputs @ inputs.mT)[0]
    expected = math.log(7) + ((cosines[torch.arange(8), nearest] - cosines.diagonal()) / 0.07).mean().item()
    assert hard_negative_contrast(outputs, inputs, 0.07, 1e5).item() == pytest.approx(expected, rel=1e-5)


def test_a_contrast_needs_another_patch():
    with pytest.raises(ValueError, match="needs at least 2 patches"):
        hard_negative_contrast(torch.ones(1, 1, 1), torch.ones(1, 1, 1), 0.07, 1.0)


def test_images_of_a_batch_do_not_see_each_other():
    torch.manual_seed(0)
    loss = SemanticRelationLoss([3], embedding=8)
    inputs, outputs = torch.randn(2, 3, 5, 5), torch.randn(2, 3, 5, 5)
    ids = torch.tensor([[0, 3, 7, 24], [2, 11, 12, 20]])
    single = [loss([inputs[i : i + 1]], [outputs[i : i + 1]], [ids[i : i + 1]]).item() for i in range(2)]
    assert loss([inputs], [outputs], [ids]).item() == pytest.approx(sum(single) / 2, rel=1e-5)
    assert single[0] != pytest.approx(single[1], rel=1e-3)


def test_the_loss_is_the_mean_over_layers_of_both_terms():
    torch.manual_seed(0)
    loss = SemanticRelationLoss([3, 5], embedding=7, temperature=0.2, hardness=2.0, relation_weight=50.0)
    inputs, outputs = ([torch.randn(2, 3, 6, 6), torch.randn(2, 5, 4, 4)] for _ in range(2))
    ids = [torch.tensor([[0, 7, 35], [1, 2, 3]]), torch.tensor([[4, 9, 15], [0, 1, 2]])]
    expected = []
    for head, *sides, places in zip(loss.heads, inputs, outputs, ids, strict=True):
        for image in range(2):
            keys, queries = (
                F.normalize(head(side[image].flatten(1)[:, places[image]].T), dim=1).unsqueeze(0) for side in sides
            )
            relation = semantic_relation_consistency(queries, keys)
            expected.append(contrast_in_loops(queries, keys, 0.2, 2.0) + 50 * relation)
    assert loss(inputs, outputs, ids).item() == pytest.approx(torch.stack(expected).mean().item(), rel=1e-4)


def test_it_starts_with_the_heads_and_patches_of_patch_nce():
    states, draws = [], []
    for kind in (PatchNCE, SemanticRelationLoss):
        torch.manual_seed(0)
        loss = kind([3, 5], patches=4, embedding=8)
        loss([torch.ones(1, 3, 4, 4), torch.ones(1, 5, 4, 4)], [torch.ones(1, 3, 4, 4), torch.ones(1, 5, 4, 4)])
        states.append(loss.state_dict())
        draws.append(torch.rand(3))
    assert list(states[0]) == list(states[1])
    assert all(torch.equal(*pair) for pair in zip(states[0].values(), states[1].values(), strict=True))
    assert torch.equal(*draws)


def test_nothing_learns_through_the_inputs():
    torch.manual_seed(0)
    loss = SemanticRelationLoss([4], embedding=8)
    inputs, outputs = (torch.randn(1, 4, 5, 5, requires_grad=True) for _ in range(2))
    loss([inputs], [outputs]).backward()
    assert inputs.grad is None and outputs.grad.abs().sum() > 0
    assert all(parameter.grad.abs().sum() > 0 for parameter in loss.parameters())
    patches = random_patches(1, 6, 5).requires_grad_()
    semantic_relation_consistency(random_patches(1, 6, 5).requires_grad_(), patches).backward()
    assert patches.grad is None


def test_half_precision_changes_little_and_the_loss_stays_float32():
    torch.manual_seed(0)
    loss = SemanticRelationLoss([6], embedding=16)
    inputs, outputs = torch.randn(2, 6, 8, 8), torch.randn(2, 6, 8, 8, requires_grad=True)
    ids = [torch.arange(64).expand(2, 64)]
    exact = loss([inputs], [outputs], ids)
    (expected,) = torch.autograd.grad(exact, outputs)
    with torch.autocast("cpu", torch.bfloat16):
        found = loss([inputs], [outputs], ids)
    assert found.dtype == torch.float32 and found.item() == pytest.approx(exact.item(), rel=0.02)
    (gradient,) = torch.autograd.grad(found, outputs)
    assert F.cosine_similarity(gradient.flatten(), expected.flatten(), dim=0) > 0.98
