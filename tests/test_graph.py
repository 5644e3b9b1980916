"""Adjacency, propagation and pooling against their definitions."""

from typing import get_args

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gcl.config import Adjacency
from gcl.contrast.adjacency import (
    ADJACENCIES,
    density,
    identity_adjacency,
    propagation_matrix,
    similarity_adjacency,
    two_hop_adjacency,
)
from gcl.contrast.pooling import pool, topk


def random_graphs(batch=3, nodes=12, channels=8, threshold=0.2):
    torch.manual_seed(0)
    embeddings = F.normalize(torch.randn(batch, nodes, channels), dim=-1)
    return embeddings, similarity_adjacency(embeddings, threshold)


def test_the_names_of_adjacencies_are_those_of_the_parameters():
    """Parameters are checked without importing torch, so the names are listed there as well."""
    assert get_args(Adjacency) == tuple(ADJACENCIES)


def test_propagation_by_hand():
    """One more self-loop is added to those of the adjacency; a node without edges keeps only its own features."""
    adjacency = torch.tensor([[[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]])
    expected = torch.tensor([[[2 / 3, 1 / 3, 0], [1 / 3, 2 / 3, 0], [0, 0, 1]]])
    torch.testing.assert_close(propagation_matrix(adjacency), expected)


@pytest.mark.parametrize("size", [60, 256], ids=["small products", "large products"])
def test_propagation_is_symmetric_bit_for_bit(size):
    """The gradient relies on this."""
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
    scores, kept = topk(nodes, weights, biases, 4)
    for graph in range(6):
        everything = torch.sigmoid(layers[graph // 3](nodes[graph])).squeeze(-1)
        best = everything.argsort(descending=True)[:4]
        assert kept[graph].tolist() == best.tolist()
        expected = nodes[graph, best] * everything[best, None]
        torch.testing.assert_close(pool(nodes, scores, kept)[graph], expected)
