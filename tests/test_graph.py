"""The dense graph operations against PyG's sparse ones and against their definitions."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch_geometric.nn import TAGConv
from torch_geometric.utils import dense_to_sparse

from gcl.contrast.graph import (
    StackedLinear,
    choose,
    convolve,
    density,
    gate,
    identity_adjacency,
    propagation_matrix,
    similarity_adjacency,
    two_hop_adjacency,
)


def random_graphs(batch=3, nodes=12, channels=8, threshold=0.2):
    torch.manual_seed(0)
    embeddings = F.normalize(torch.randn(batch, nodes, channels), dim=-1)
    return embeddings, similarity_adjacency(embeddings, threshold)


@pytest.mark.parametrize("hops", [0, 1, 2, 3])
def test_dense_tagcn_equals_pyg_on_a_batch_of_different_graphs(hops):
    """Two convolutions, of three graphs each; PyG normalises the edges by itself."""
    nodes, adjacency = random_graphs(batch=6)
    adjacency[1, 3, :] = adjacency[1, :, 3] = 0  # a node without any edge
    convolutions = [TAGConv(8, 5, K=hops) for _ in range(2)]
    expected = [
        sparse(of_sparse.flatten(0, 1), *dense_to_sparse(graphs)).view(3, 12, 5)  # (B*N, C) -> (B, N, C)
        for sparse, of_sparse, graphs in zip(
            convolutions, nodes.chunk(2), (adjacency + torch.eye(12)).chunk(2), strict=True
        )
    ]
    weights = torch.stack([torch.cat([hop.weight for hop in sparse.lins], dim=1) for sparse in convolutions])
    biases = torch.stack([sparse.bias for sparse in convolutions])
    found = convolve(nodes, propagation_matrix(adjacency), weights, biases)
    torch.testing.assert_close(found, torch.cat(expected), atol=1e-6, rtol=0)


def test_images_of_a_batch_never_meet():
    nodes, adjacency = random_graphs()
    matrices, weights, biases = propagation_matrix(adjacency), torch.randn(1, 5, 3 * 8), torch.randn(1, 5)
    alone = torch.cat([convolve(nodes[i : i + 1], matrices[i : i + 1], weights, biases) for i in range(3)])
    torch.testing.assert_close(convolve(nodes, matrices, weights, biases), alone, atol=1e-6, rtol=0)


def test_propagation_by_hand():
    """Self-loops count once more than the adjacency has them; a node without edges keeps its own features only."""
    adjacency = torch.tensor([[[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]])
    expected = torch.tensor([[[2 / 3, 1 / 3, 0], [1 / 3, 2 / 3, 0], [0, 0, 1]]])
    torch.testing.assert_close(propagation_matrix(adjacency), expected)


@pytest.mark.parametrize("size", [60, 256], ids=["small products", "large products"])
def test_propagation_is_symmetric_bit_for_bit(size):
    """Its gradient relies on it."""
    _, adjacency = random_graphs(batch=2, nodes=size, channels=size, threshold=0.01)
    assert 0.1 < density(adjacency) < 0.9
    matrix = propagation_matrix(adjacency)
    assert torch.equal(matrix, matrix.mT)


def test_similarity_threshold_by_hand():
    embeddings = torch.tensor([[[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]]])
    assert similarity_adjacency(embeddings, 0.7)[0].tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 1]]
    assert similarity_adjacency(embeddings, 1.0).sum() <= 3  # a threshold of 1 leaves no edge between nodes
    assert not similarity_adjacency(embeddings.requires_grad_(), 0.7).requires_grad


def test_density_counts_edges_between_different_nodes():
    embeddings = torch.tensor([[[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]]])
    assert density(similarity_adjacency(embeddings, 0.7)).item() == pytest.approx(2 / 6)
    assert density(identity_adjacency(embeddings)).item() == 0


def test_two_hop_adjacency_is_the_square_restricted_to_the_kept():
    _, adjacency = random_graphs(threshold=0.6)
    kept = torch.stack([torch.randperm(12)[:5] for _ in range(3)])
    for image in range(3):
        squared = adjacency[image] @ adjacency[image] > 0
        expected = squared[kept[image]][:, kept[image]].float()
        assert torch.equal(two_hop_adjacency(adjacency, kept)[image], expected)


def test_pooling_keeps_the_best_and_scales_by_the_score():
    """Two linear layers score three graphs each."""
    nodes, _ = random_graphs(batch=6)
    layers = [nn.Linear(8, 1) for _ in range(2)]
    weights, biases = (torch.stack([getattr(layer, name) for layer in layers]) for name in ("weight", "bias"))
    scores, kept = choose(nodes, weights, biases, 4)
    for graph in range(6):
        everything = torch.sigmoid(layers[graph // 3](nodes[graph])).squeeze(-1)
        best = everything.argsort(descending=True)[:4]
        assert kept[graph].tolist() == best.tolist()
        expected = nodes[graph, best] * everything[best, None]
        torch.testing.assert_close(gate(nodes, scores, kept)[graph], expected)


@pytest.mark.parametrize("layers", [[0, 1, 2], [0, 2], [1], [2, 0, 1]])
def test_some_of_the_stacked_linear_layers(layers):
    stacked = StackedLinear(3, 4, 2)
    torch.nn.init.normal_(stacked.bias)
    weights, biases = stacked.of(layers)
    assert weights.tolist() == [stacked.weight[layer].tolist() for layer in layers]
    assert biases.tolist() == [stacked.bias[layer].tolist() for layer in layers]
    assert (weights is stacked.weight) == (layers == [0, 1, 2])  # as they are, where all are asked for
