"""The dense graph convolution against PyG's sparse one."""

import pytest
import torch
from torch_geometric.nn import TAGConv
from torch_geometric.utils import dense_to_sparse

from gcl.contrast.stacked_linear import StackedLinear
from gcl.contrast.tag_convolution import TAGConvolution
from tests.test_graph import random_graphs


def tag_convolution(layers, hops):
    convolution = TAGConvolution(layers, channels=8, hops=hops)
    for parameter in convolution.parameters():
        torch.nn.init.normal_(parameter)
    return convolution


@pytest.mark.parametrize("hops", [0, 1, 2, 3])
def test_dense_tagcn_equals_pyg_on_a_batch_of_different_graphs(hops):
    """Two convolutions, of three graphs each; PyG normalises the edges by itself."""
    nodes, adjacency = random_graphs(batch=6)
    adjacency[1, 3, :] = adjacency[1, :, 3] = 0  # a node without any edge
    dense = tag_convolution(2, hops)
    expected = []
    for layer, (of_layer, graphs) in enumerate(zip(nodes.chunk(2), (adjacency + torch.eye(12)).chunk(2), strict=True)):
        sparse = TAGConv(8, 8, K=hops)
        with torch.no_grad():
            sparse.bias.copy_(dense.bias[layer])
            for hop, weight in zip(sparse.lins, dense.weight[layer].split(8, dim=1), strict=True):
                hop.weight.copy_(weight)
        expected.append(
            sparse(of_layer.flatten(0, 1), *dense_to_sparse(graphs)).view(3, 12, 8)
        )  # (B*N, C) -> (B, N, C)
    found = dense(nodes, dense.propagation(adjacency, [0, 1]), [0, 1])
    torch.testing.assert_close(found, torch.cat(expected), atol=1e-5, rtol=0)


def test_images_of_a_batch_never_meet():
    nodes, adjacency = random_graphs()
    convolution = tag_convolution(1, hops=2)

    def convolved(images):
        return convolution(nodes[images], convolution.propagation(adjacency[images], [0]), [0])

    alone = torch.cat([convolved(slice(image, image + 1)) for image in range(3)])
    torch.testing.assert_close(convolved(slice(None)), alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("layers", [[0, 1, 2], [0, 2], [1], [2, 0, 1]])
def test_some_of_the_stacked_linear_layers(layers):
    stacked = StackedLinear(3, 4, 2)
    torch.nn.init.normal_(stacked.bias)
    weights, biases = stacked.of(layers)
    assert weights.tolist() == [stacked.weight[layer].tolist() for layer in layers]
    assert biases.tolist() == [stacked.bias[layer].tolist() for layer in layers]
    assert (weights is stacked.weight) == (layers == [0, 1, 2])  # as they are, where all are asked for
