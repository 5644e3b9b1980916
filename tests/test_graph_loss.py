"""The graph loss against golden values of the published method, and against its own definition in plain loops."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.func import functional_call

from gcl.contrast.adjacency import similarity_adjacency
from gcl.contrast.graph_loss import GraphContrastiveLoss
from gcl.contrast.graph_pair import info_nce
from gcl.contrast.patch_nce import PatchNCE
from gcl.contrast.patches import draw_patches, gather_patches
from gcl.training.gan_losses import LEAST_SQUARES

GOLDEN = np.load(Path(__file__).parent / "golden" / "graph_loss_golden.npz")
CASES = {
    "paper": dict(hops=2, threshold=0.1, keep=0.25, level_weights=(1.0, 0.5)),
    "no_pooling": dict(hops=2, threshold=0.1, level_weights=(1.0,)),
    "one_hop": dict(hops=1, threshold=0.1, keep=0.25, level_weights=(1.0, 0.5)),
    "three_hops_sparse": dict(hops=3, threshold=0.6, keep=0.125, level_weights=(1.0, 1.0)),
}


def golden(case, layer, name):
    return torch.from_numpy(GOLDEN[f"{case}/{layer}/{name}"])


def of_layer(loss, layer, part=lambda parameter: parameter):
    """The parameters of an encoder layer, or this ``part`` of them, by their names in the golden file."""
    found = {f"embed.{name}": part(parameter) for name, parameter in loss.embed[layer].named_parameters()}
    for place, every in {"gnn": [loss.gnn], "pool": loss.scorers, "gnn_pool": loss.pool_gnns}.items():
        assert len(every) <= 1  # the golden cases have one pooling level, or none
        for stacked in every:
            found |= {f"{place}.{name}": part(parameter)[layer] for name, parameter in stacked.named_parameters()}
    return found


def golden_loss(case):
    channels = [golden(case, layer, "input_features").shape[1] for layer in (0, 1)]
    loss = GraphContrastiveLoss(channels, patches=64, embedding=32, **CASES[case])
    with torch.no_grad():
        for layer in (0, 1):
            for name, parameter in of_layer(loss, layer).items():
                parameter.copy_(golden(case, layer, name))
    return loss


@pytest.mark.parametrize("case", CASES)
def test_golden_loss_and_every_gradient(case):
    loss = golden_loss(case)
    inputs = [golden(case, layer, "input_features").requires_grad_() for layer in (0, 1)]
    outputs = [golden(case, layer, "output_features").requires_grad_() for layer in (0, 1)]
    ids = [golden(case, layer, "patch_ids").unsqueeze(0) for layer in (0, 1)]

    value, _ = loss(inputs, outputs, ids)
    value.backward()

    assert value.item() == pytest.approx(float(GOLDEN[f"{case}/loss"]), abs=1e-5)
    for layer in (0, 1):
        assert inputs[layer].grad is None
        found = of_layer(loss, layer, part=lambda parameter: parameter.grad) | {"output_features": outputs[layer].grad}
        for name, gradient in found.items():
            expected = golden(case, layer, f"grad_{name}")
            torch.testing.assert_close(gradient, expected, atol=1e-6, rtol=0, msg=name)


def random_features(batch, sizes=((6, 10), (4, 5)), channels=(5, 7)):
    return [torch.rand(batch, count, *size) for count, size in zip(channels, sizes, strict=True)]


@pytest.mark.parametrize("adjacency", ["shared", "separate", "identity"])
@pytest.mark.parametrize("patches", [16, 30], ids=["equal nodes", "one layer with fewer"])
def test_a_batch_gives_the_mean_of_its_single_layers_and_images(adjacency, patches):
    """Compares the loss and the gradients of the outputs' features and of all parameters."""
    torch.manual_seed(0)
    settings = {"patches": patches, "embedding": 8, "threshold": 0.5, "adjacency": adjacency}
    loss = GraphContrastiveLoss([5, 7], **settings)
    for parameter in loss.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    inputs, outputs = random_features(3), [features.requires_grad_() for features in random_features(3)]
    ids = [draw_patches(features, patches) for features in inputs]
    variables = [*outputs, *loss.parameters()]

    def alone(layer, image):
        single = GraphContrastiveLoss([[5, 7][layer]], **settings)
        embed = {f"embed.0.{name}": parameter for name, parameter in loss.embed[layer].named_parameters()}
        others = {name: every[layer : layer + 1] for name, every in loss.named_parameters() if "embed" not in name}
        given = tuple([every[layer][image : image + 1]] for every in (inputs, outputs, ids))
        return functional_call(single, embed | others, given)[0]

    singles = torch.stack([alone(layer, image) for layer in range(2) for image in range(3)]).mean()
    together, _ = loss(inputs, outputs, ids)
    torch.testing.assert_close(together, singles, atol=1e-5, rtol=0)
    gradients = (torch.autograd.grad(value, variables) for value in (together, singles))
    for found, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def loss_in_plain_loops(loss, layer, inputs, outputs, ids):
    """The loss of one encoder layer, written from the method's text in NumPy, one image and one node at a time."""

    def normalised(rows):
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def numbers(tensor):
        return tensor.detach().numpy().astype(np.float64)

    def convolved(gnn, nodes, adjacency):
        weight, bias = numbers(gnn.weight[layer]), numbers(gnn.bias[layer])
        looped = adjacency + np.eye(len(nodes))
        scale = np.diag(looped.sum(axis=1) ** -0.5)
        propagation, hidden = scale @ looped @ scale, bias[None].repeat(len(nodes), axis=0)
        for hop, of_hop in enumerate(np.split(weight, weight.shape[1] // nodes.shape[1], axis=1)):
            hidden = hidden + np.linalg.matrix_power(propagation, hop) @ nodes @ of_hop.T
        return normalised(hidden)

    def contrast(first, second):
        total = 0.0
        for one, other in ((first, second), (second, first)):
            for index, node in enumerate(one):
                similarities = other @ node / loss.temperature
                total += (np.log(np.exp(similarities).sum()) - similarities[index]) / len(one)
        return total

    def adjacency_of(nodes):
        return (nodes @ nodes.T > loss.threshold).astype(float)

    total = 0.0
    for image in range(len(inputs)):
        t, s = (
            normalised(numbers(features[image]).reshape(features.shape[1], -1).T[ids[image]] @ weight.T + bias)
            for features in (inputs, outputs)
            for weight, bias in [(numbers(loss.embed[layer].weight), numbers(loss.embed[layer].bias))]
        )
        a_t, a_s = adjacency_of(t), adjacency_of(t if loss.adjacency == "shared" else s)
        if loss.adjacency == "identity":
            a_t = a_s = np.eye(len(t))
        t, s = convolved(loss.gnn, t, a_t), convolved(loss.gnn, s, a_s)
        total += loss.level_weights[0] * contrast(t, s)
        keep = int(len(t) * loss.keep)
        for scorer, gnn, weight in zip(loss.scorers, loss.pool_gnns, loss.level_weights[1:], strict=True):
            scores = 1 / (1 + np.exp(-(t @ numbers(scorer.weight[layer, 0]) + numbers(scorer.bias[layer]))))
            kept = np.argsort(-scores)[:keep]
            a_t, a_s = (((a @ a) > 0).astype(float)[kept][:, kept] for a in (a_t, a_s))
            t, s = (convolved(gnn, nodes[kept] * scores[kept, None], a) for nodes, a in ((t, a_t), (s, a_s)))
            total += weight * contrast(t, s)
            keep //= 2
    return total / len(inputs) / len(loss.level_weights)


@pytest.mark.parametrize("adjacency", ["shared", "separate", "identity"])
@pytest.mark.parametrize("levels", [0, 1, 2, 3])
def test_any_number_of_pooling_levels_equals_plain_loops(levels, adjacency):
    """Compares three layers with their own weights, of which the middle one has fewer nodes than the others."""
    torch.manual_seed(0)
    weights = [1.0, 0.5, 0.25, 2.0][: levels + 1]
    channels, sizes = (5, 3, 7), ((6, 10), (3, 5), (4, 6))
    loss = GraphContrastiveLoss(
        channels, patches=20, embedding=8, threshold=0.3, adjacency=adjacency, keep=0.4, level_weights=weights
    )
    for parameter in loss.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    inputs, outputs = (
        [torch.randn(2, count, *size) for count, size in zip(channels, sizes, strict=True)] for _ in range(2)
    )
    ids = [draw_patches(features, 20) for features in inputs]
    value, graphs = loss(inputs, outputs, ids)
    expected = [
        loss_in_plain_loops(loss, layer, inputs[layer], outputs[layer], ids[layer]) for layer in range(len(channels))
    ]
    assert value.item() == pytest.approx(np.mean(expected), abs=1e-4)

    for graph, features, own, embed in zip(graphs, inputs, ids, loss.embed, strict=True):
        assert torch.equal(graph.ids, own)
        count = own.shape[1]
        assert [kept.shape for kept in graph.kept] == [(2, int(count * 0.4) >> level) for level in range(levels)]
        for outer, inner in pairwise(graph.kept):
            assert set(inner[0].tolist()) <= set(outer[0].tolist())
        if adjacency != "identity":
            embedded = F.normalize(embed(gather_patches(features, own)), dim=-1)
            assert torch.equal(graph.adjacency, similarity_adjacency(embedded, 0.3))


def test_more_patches_than_positions_uses_all_of_them_once():
    loss = GraphContrastiveLoss([5, 7], patches=1000, embedding=8)
    value, graphs = loss(random_features(2), random_features(2))
    assert torch.isfinite(value)
    assert sorted(graphs[0].ids[0].tolist()) == list(range(60))
    assert sorted(graphs[1].ids[1].tolist()) == list(range(20))


@pytest.mark.parametrize("loss", [GraphContrastiveLoss([5, 7], embedding=8), PatchNCE([5, 7], embedding=8)])
@pytest.mark.parametrize(
    ("ids", "told"),
    [
        ([[0, 60], [0, 1]], r"patch_ids\[0\] holds 0 to 60; the map has 60 positions"),
        ([[0, 1], [-1, 2]], r"patch_ids\[0\] holds -1 to 2"),
        ([[0, 1]], r"patch_ids\[0\] has the shape \(1, 2\); it must be \(2, N\)"),
    ],
)
def test_positions_outside_of_a_map_are_told_and_never_read_from_another_image(loss, ids, told):
    inside = torch.tensor([[0, 19], [3, 4]])
    with pytest.raises(ValueError, match=told):
        loss(random_features(2), random_features(2), [torch.tensor(ids), inside])


@pytest.mark.parametrize("loss", [GraphContrastiveLoss([5, 7], embedding=8), PatchNCE([5, 7], embedding=8)])
@pytest.mark.parametrize("others", [random_features(1), random_features(2, sizes=((6, 10), (5, 5)))])
def test_inputs_and_outputs_of_different_shapes_are_told(loss, others):
    with pytest.raises(ValueError, match=r"features of layer [01] have the shapes .* must be the same"):
        loss(random_features(2), others)


def test_an_unknown_adjacency_is_told():
    with pytest.raises(ValueError, match="'Identity'; it must be one of shared, separate, identity"):
        GraphContrastiveLoss([5], adjacency="Identity")


def test_autocast_leaves_the_loss_in_float32():
    """For good matches the loss is a small difference of large logits, which eight bits cannot hold."""
    torch.manual_seed(0)
    loss = GraphContrastiveLoss([64], patches=256, embedding=256, adjacency="identity")
    inputs = torch.randn(1, 64, 20, 20)
    outputs, ids = inputs + 0.1 * torch.randn(1, 64, 20, 20), draw_patches(inputs, 256)
    single, _ = loss([inputs.bfloat16().float()], [outputs.bfloat16().float()], [ids])
    gradients = torch.autograd.grad(single, loss.parameters())
    with torch.autocast("cpu"):
        half, _ = loss([inputs.bfloat16()], [outputs.bfloat16()], [ids])
    assert 0 < single.item() < 0.01
    assert half.item() == single.item()
    for found, expected in zip(torch.autograd.grad(half, loss.parameters()), gradients, strict=True):
        assert torch.equal(found, expected)


@pytest.mark.parametrize("more", ["inputs", "outputs", "ids"])
def test_every_layer_needs_its_features(more):
    given = {"inputs": random_features(2), "outputs": random_features(2)}
    given["ids"] = [draw_patches(features, 4) for features in given["inputs"]]
    given[more].append(given[more][0])
    with pytest.raises(ValueError, match=r"is longer|is shorter"):
        GraphContrastiveLoss([5, 7], embedding=8)(*given.values())


@pytest.mark.parametrize("channels", [[5], [5, 7, 9]])
def test_another_number_of_feature_maps_than_layers_is_told(channels):
    with pytest.raises(ValueError, match=r"is longer|is shorter"):
        GraphContrastiveLoss(channels, embedding=8)(random_features(2), random_features(2))


def test_layers_start_from_small_weights_and_no_biases():
    for name, parameter in GraphContrastiveLoss([64, 128]).named_parameters():
        if name.endswith("bias"):
            assert not parameter.any()
        else:
            assert parameter.std().item() == pytest.approx(0.02, rel=0.15), name


def test_a_single_patch_is_defined():
    value, _ = GraphContrastiveLoss([5, 7], patches=1, embedding=8)(random_features(2), random_features(2))
    assert value.item() == 0  # one node has no negatives


def test_info_nce_in_closed_form():
    """For orthonormal matching nodes, both directions give log(1 + (N - 1) exp(-1 / temperature))."""
    nodes = torch.eye(4).unsqueeze(0)
    expected = 2 * np.log(1 + 3 * np.exp(-1 / 0.5))
    assert info_nce(nodes, nodes, temperature=0.5).item() == pytest.approx(expected, rel=1e-6)


def test_adjacency_choices_reach_the_output_graph():
    """If the output equals the input, all choices except `identity` coincide; otherwise they all differ."""
    inputs, others = random_features(2), random_features(2)
    ids = [draw_patches(features, 16) for features in inputs]

    def value(adjacency, outputs):
        torch.manual_seed(0)
        loss = GraphContrastiveLoss([5, 7], embedding=8, threshold=0.9, adjacency=adjacency)
        return loss(inputs, outputs, ids)[0].item()

    assert value("shared", inputs) == pytest.approx(value("separate", inputs), abs=1e-6)
    assert len({round(value(name, others), 5) for name in ("shared", "separate", "identity")}) == 3


def test_least_squares_losses_by_hand():
    fake, real = torch.tensor([[0.5, -0.5]]), torch.tensor([[1.0, 0.0]])
    assert LEAST_SQUARES.discriminator(fake, real).item() == pytest.approx(0.5 * (0.25 + 0.5))
    assert LEAST_SQUARES.generator(fake).item() == pytest.approx((0.25 + 2.25) / 2)
