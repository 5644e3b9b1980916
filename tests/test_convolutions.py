"""The dense graph convolution and PyG's sparse ones give the same values, and which of PyG's can be chosen."""

import subprocess
import sys

import pytest
import torch
from torch_geometric.nn import TAGConv
from torch_geometric.utils import dense_to_sparse

from gcl.contrast.adjacency import propagation_matrix
from gcl.contrast.convolutions import build_convolution, check_convolution
from gcl.contrast.fast.stacked_linear import StackedLinear
from gcl.contrast.graph_loss import GraphContrastiveLoss
from gcl.contrast.patches import draw_patches
from gcl.errors import UserError
from tests.conftest import ROOT
from tests.test_graph import random_graphs


def drawn_convolution(name, layers, hops):
    """A convolution whose weights and biases are large enough to make a difference."""
    convolution = build_convolution(name, layers, channels=8, hops=hops)
    for parameter in convolution.parameters():
        torch.nn.init.normal_(parameter)
    return convolution


@pytest.mark.parametrize("hops", [0, 1, 2, 3])
def test_dense_tagcn_equals_pyg_on_a_batch_of_different_graphs(hops):
    """Two convolutions with three graphs each; PyG normalises the edges itself."""
    nodes, adjacency = random_graphs(batch=6)
    adjacency[1, 3, :] = adjacency[1, :, 3] = 0  # a node without any edge
    dense = drawn_convolution("tag", 2, hops)
    expected = []
    for layer, (of_layer, graphs) in enumerate(zip(nodes.chunk(2), (adjacency + torch.eye(12)).chunk(2), strict=True)):
        sparse = TAGConv(8, 8, K=hops)
        with torch.no_grad():
            sparse.bias.copy_(dense.bias[layer])
            for hop, weight in zip(sparse.lins, dense.weight[layer].split(8, dim=1), strict=True):
                hop.weight.copy_(weight)
        expected.append(sparse(of_layer.flatten(0, 1), *dense_to_sparse(graphs)).view(3, 12, 8))
    found = dense(nodes, dense.propagation(adjacency, [0, 1]), [0, 1])
    torch.testing.assert_close(found, torch.cat(expected), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["tag", "TAGConv", "GCNConv", "SAGEConv", "GATv2Conv", "GINConv", "TransformerConv"])
def test_images_of_a_batch_never_meet_and_layers_have_weights_of_their_own(name):
    """Two of three encoder layers, with three graphs each."""
    nodes, adjacency = random_graphs(batch=6)
    convolution = drawn_convolution(name, 3, hops=2)

    def convolved(graphs, layers):
        return convolution(nodes[graphs], convolution.propagation(adjacency[graphs], layers), layers)

    together = convolved(slice(None), [2, 0])
    alone = torch.cat([convolved(slice(graph, graph + 1), [[2, 0][graph // 3]]) for graph in range(6)])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(convolved(slice(0, 1), [0]), convolved(slice(0, 1), [1]), atol=1e-2)


def gcn(layer, x, S, A):
    return layer[1].lin(S @ (layer[0].lin(S @ x) + layer[0].bias).relu()) + layer[1].bias


def graph_conv(layer, x, S, A):
    first, second = ((one.lin_rel, one.lin_root) for one in layer)
    hidden = (first[0](S @ x) + first[1](x)).relu()
    return second[0](S @ hidden) + second[1](hidden)


def sage(layer, x, S, A):
    mean = A / A.sum(dim=-1, keepdim=True)
    hidden = (layer[0].lin_l(mean @ x) + layer[0].lin_r(x)).relu()
    return layer[1].lin_l(mean @ hidden) + layer[1].lin_r(hidden)


def gin(layer, x, S, A):
    hidden = layer[0].nn(x + A @ x).relu()
    return layer[1].nn(hidden + A @ hidden)


@pytest.mark.parametrize(
    ("name", "formula"), [("GCNConv", gcn), ("GraphConv", graph_conv), ("SAGEConv", sage), ("GINConv", gin)]
)
def test_two_hops_by_the_formulas_of_the_convolutions(name, formula):
    """The edges are weighted by S, which nothing normalises again, or they are those of A + I, each counted once."""
    nodes, adjacency = random_graphs(batch=1)
    convolution = drawn_convolution(name, 1, hops=2)
    looped = (adjacency[0] + torch.eye(12) > 0).float()
    expected = formula(convolution[0], nodes[0], propagation_matrix(adjacency)[0], looped)
    found = convolution(nodes, convolution.propagation(adjacency, [0]), [0])[0]
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def with_the_weights_of(dense, settings):
    """The same loss with PyG's ``TAGConv``, where every hop of every layer has a tensor of its own."""
    sparse = GraphContrastiveLoss([5, 3, 7], convolution="TAGConv", **settings).double()
    state = {}
    for name, every in dense.state_dict().items():
        place, kind = name.rsplit(".", 1)
        if "gnn" not in place:
            state[name] = every
        elif kind == "bias":
            state |= {f"{place}.{layer}.0.bias": bias for layer, bias in enumerate(every)}
        else:
            for layer, weights in enumerate(every):
                hops = weights.split(len(weights), dim=1)
                state |= {f"{place}.{layer}.0.lins.{hop}.weight": weight for hop, weight in enumerate(hops)}
    sparse.load_state_dict(state)
    return sparse


def gradients(loss, outputs):
    """The gradients by tensor name; those of TAGConv's tensors are put together like those of ``tag``."""
    found = {f"output {place}": features.grad for place, features in enumerate(outputs)}
    found |= {name: parameter.grad for name, parameter in loss.named_parameters() if "gnn" not in name}
    for place, gnn in {"gnn": loss.gnn, **{f"pool {level}": gnn for level, gnn in enumerate(loss.pool_gnns)}}.items():
        if isinstance(gnn, StackedLinear):
            found |= {f"{place} weight": gnn.weight.grad, f"{place} bias": gnn.bias.grad}
        else:
            weights = [torch.cat([hop.weight.grad for hop in one.lins], dim=1) for (one,) in gnn]
            biases = [one.bias.grad for (one,) in gnn]
            found |= {f"{place} weight": torch.stack(weights), f"{place} bias": torch.stack(biases)}
    return found


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize("adjacency", ["shared", "separate", "identity"])
@pytest.mark.parametrize("levels", [0, 1, 2])
@pytest.mark.parametrize("batch", [1, 2])
def test_the_loss_with_tagconv_equals_that_with_tag(batch, levels, adjacency, dtype, tolerance):
    """Compares the loss and all gradients for three layers, of which the middle one has fewer nodes than the others."""
    torch.manual_seed(0)
    settings = {"patches": 20, "embedding": 8, "threshold": 0.3, "adjacency": adjacency, "keep": 0.4}
    settings["level_weights"] = [1.0, 0.5, 2.0][: levels + 1]
    dense = GraphContrastiveLoss([5, 3, 7], **settings).double()
    for parameter in dense.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    inputs, outputs = (
        [
            torch.randn(batch, channels, *size, dtype=dtype)
            for channels, size in ((5, (6, 10)), (3, (3, 5)), (7, (4, 6)))
        ]
        for _ in range(2)
    )
    ids = [draw_patches(features, 20) for features in inputs]
    values, found = [], []
    for loss in (dense, with_the_weights_of(dense, settings)):
        variables = [features.clone().requires_grad_() for features in outputs]
        value, graphs = loss.to(dtype)(inputs, variables, ids)
        value.backward()
        assert adjacency == "identity" or all(0.05 < graph.density < 0.95 for graph in graphs)
        values.append(value)
        found.append(gradients(loss, variables))
    torch.testing.assert_close(*values, atol=tolerance, rtol=tolerance)
    assert found[0].keys() == found[1].keys()
    for name in found[0]:
        torch.testing.assert_close(found[1][name], found[0][name], atol=tolerance, rtol=0, msg=name)


@pytest.mark.parametrize("name", ["GCNConv", "GATv2Conv", "SAGEConv", "GINConv"])
def test_another_convolution_learns(name):
    """A few steps reduce the loss; every parameter of every layer and the outputs' features get a gradient."""
    torch.manual_seed(0)
    loss = GraphContrastiveLoss([5, 7], patches=16, embedding=8, threshold=0.5, convolution=name)
    inputs, outputs = ([torch.randn(2, channels, 6, 6) for channels in (5, 7)] for _ in range(2))
    ids = [draw_patches(features, 16) for features in inputs]
    learning = [*loss.parameters(), *(features.requires_grad_() for features in outputs)]
    optimiser = torch.optim.Adam(learning, lr=0.02)
    values = []
    for _ in range(20):
        value, _ = loss(inputs, outputs, ids)
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        values.append(value.item())
    assert all(tensor.grad.any() for tensor in learning)
    assert values[-1] < 0.8 * values[0]


@pytest.mark.parametrize(
    ("name", "hops", "told"),
    [
        ("TagConv", 2, "torch-geometric has no convolution of this name"),
        ("nn", 2, "torch-geometric has no convolution of this name"),
        ("PNAConv", 2, "missing 3 required positional arguments: 'aggregators', 'scalers', and 'deg'"),
        ("LGConv", 2, "it cannot be built from numbers of channels"),
        ("EdgeConv", 2, "shapes cannot be multiplied"),
        ("HypergraphConv", 2, "unexpected keyword argument 'edge_index'"),
        ("GENConv", 2, "the images of a batch would influence each other"),
        ("GCNConv", 0, "it has no parameter K and is stacked once per hop, so graph.hops must be at least 1"),
    ],
)
def test_a_convolution_that_does_not_fit_is_told_with_those_that_do(name, hops, told):
    with pytest.raises(UserError) as error:
        check_convolution(name, hops)
    message = str(error.value)
    assert message.startswith(f"graph.convolution = {name}: ") and told in message and "\n" not in message
    _, listed = message.split(f"With graph.hops {hops} choose tag (dense, fast) or, from torch-geometric, ")
    fitting = set(listed.split(", "))
    assert {"TAGConv", "SGConv"} <= fitting and name not in fitting
    assert ({"GCNConv", "GATv2Conv", "SAGEConv", "GINConv"} <= fitting) == (hops > 0)
    with pytest.raises(UserError, match=r"graph\.convolution"):
        GraphContrastiveLoss([5], hops=hops, convolution=name)


def test_some_fit_some_numbers_of_channels():
    check_convolution("EGConv", 2, channels=16)
    with pytest.raises(UserError, match=r"graph\.convolution = EGConv"):
        check_convolution("EGConv", 2, channels=12)


@pytest.mark.parametrize("name", ["tag", "TAGConv", "GATv2Conv"])
def test_checking_draws_no_random_numbers(name):
    state = torch.get_rng_state()
    check_convolution(name, 2)
    assert torch.equal(torch.get_rng_state(), state)


def imported_by(code):
    """The slow libraries that a fresh interpreter has imported after ``code``."""
    code += "; import sys; print([name for name in ('torch', 'torch_geometric') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("code", "imported"),
    [
        ("from gcl.contrast.convolutions import check_convolution; check_convolution('tag', 2)", "[]"),
        ("from gcl.contrast.graph_loss import GraphContrastiveLoss; GraphContrastiveLoss([8])", "['torch']"),
    ],
)
def test_only_a_name_of_torch_geometric_imports_it(code, imported):
    assert imported_by(code) == imported


@pytest.mark.parametrize("layers", [[0, 1, 2], [0, 2], [1], [2, 0, 1]])
def test_some_of_the_stacked_linear_layers(layers):
    stacked = StackedLinear(3, 4, 2)
    torch.nn.init.normal_(stacked.bias)
    weights, biases = stacked.of(layers)
    assert weights.tolist() == [stacked.weight[layer].tolist() for layer in layers]
    assert biases.tolist() == [stacked.bias[layer].tolist() for layer in layers]
    assert (weights is stacked.weight) == (layers == [0, 1, 2])  # not copied if all are asked for
