"""The graphs that the loss offers to other tools, seen through PyG and networkx, and their statistics."""

import networkx
import pytest
import torch
import torch.nn.functional as F
from torch_geometric.data import Batch, Data
from torch_geometric.utils import contains_self_loops, is_undirected, to_dense_adj, to_networkx

from gcl.contrast.graph_loss import GraphContrastiveLoss
from gcl.contrast.patches import gather_patches
from pipeline.pages.graph_statistics import statistics_of


@pytest.fixture
def features():
    torch.manual_seed(0)
    return [torch.randn(2, 5, 6, 10), torch.randn(2, 7, 4, 5)]


def loss_of(**settings):
    """A loss with 20 nodes per image in either layer, and with weights large enough to make a difference."""
    loss = GraphContrastiveLoss([5, 7], patches=20, embedding=8, **{"threshold": 0.3, "keep": 0.4} | settings)
    for parameter in loss.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return loss


def test_edges_are_those_of_the_adjacency_without_self_loops(features):
    _, graphs = loss_of()(features, features)
    for graph in graphs:
        for image, data in enumerate(graph.to_data()):
            assert data.validate() and data.num_nodes == 20
            assert is_undirected(data.edge_index, data.edge_attr) and not contains_self_loops(data.edge_index)
            expected = graph.adjacency[image] - torch.eye(20)  # the threshold sets the diagonal
            assert torch.equal(to_dense_adj(data.edge_index, max_num_nodes=20)[0], expected)
            network = to_networkx(data, to_undirected=True, edge_attrs=["edge_attr"])
            assert network.number_of_nodes() == 20
            assert networkx.to_numpy_array(network).tolist() == expected.tolist()
            assert all(weight > 0.3 for _, _, weight in network.edges(data="edge_attr"))
        densities = [networkx.density(to_networkx(data, to_undirected=True)) for data in graph.to_data()]
        assert graph.density.item() == pytest.approx(sum(densities) / 2)


def test_nodes_lie_where_their_features_were_taken(features):
    loss = loss_of()
    _, graphs = loss(features, features)
    for graph, maps, embed in zip(graphs, features, loss.embed, strict=True):
        assert graph.map_size == maps.shape[-2:]
        embeddings = F.normalize(embed(gather_patches(maps, graph.ids)), dim=-1)
        for image, data in enumerate(graph.to_data()):
            x, y = data.pos.long().T
            torch.testing.assert_close(F.normalize(embed(maps[image, :, y, x].T), dim=-1), data.x)
            similarity = F.cosine_similarity(*embeddings[image][data.edge_index], dim=-1)
            torch.testing.assert_close(data.edge_attr, similarity)
            assert not data.x.requires_grad and not data.edge_attr.requires_grad


@pytest.mark.parametrize(("level_weights", "kept"), [([1], []), ([1, 1], [8]), ([1, 1, 1], [8, 4])])
def test_what_pooling_kept_by_level(features, level_weights, kept):
    _, graphs = loss_of(level_weights=level_weights)(features, features)
    for graph in graphs:
        for image, data in enumerate(graph.to_data()):
            assert data.kept.shape == data.score.shape == (20, len(kept))
            assert data.kept.sum(dim=0).tolist() == kept
            assert torch.equal(data.score > 0, data.kept) and (data.score < 1).all()
            assert (data.kept[:, 1:] <= data.kept[:, :-1]).all()  # each level keeps some of the one before
            for level, best in enumerate(graph.kept):
                assert (
                    data.score[:, level].argsort(descending=True)[: len(best[image])].tolist() == best[image].tolist()
                )
            assert not data.score.requires_grad


def test_pyg_batches_the_images(features):
    _, graphs = loss_of(level_weights=[1, 1, 1])(features, features)
    batch = Batch.from_data_list([data for graph in graphs for data in graph.to_data()])
    assert batch.num_graphs == 4 and batch.num_nodes == 80 and batch.kept.shape == (80, 2)
    separate = to_dense_adj(batch.edge_index, batch.batch)
    expected = torch.cat([graph.adjacency for graph in graphs]) - torch.eye(20)
    assert torch.equal(separate, expected)


def test_a_graph_without_edges(features):
    _, (graph, _) = loss_of(adjacency="identity")(features, features)
    data, _ = graph.to_data()
    assert data.edge_index.shape == (2, 0) and data.edge_attr.shape == (0,)
    statistics = statistics_of(data)
    assert (statistics.edges, statistics.components, statistics.density) == (0, 20, 0)


def test_statistics_by_hand():
    """The graph is a path of three nodes and one node by itself."""
    edges = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
    statistics = statistics_of(Data(edge_index=edges, num_nodes=4))
    assert (statistics.nodes, statistics.edges, statistics.components) == (4, 2, 2)
    assert statistics.mean_degree == 1.0 and statistics.density == pytest.approx(2 / 6)
    assert statistics_of(Data(edge_index=edges[:, :0], num_nodes=1)).density == 0


@pytest.mark.parametrize("threshold", [0.3, 0.6, 0.9])
def test_statistics_equal_those_of_networkx(features, threshold):
    _, graphs = loss_of(threshold=threshold)(features, features)
    for data in (data for graph in graphs for data in graph.to_data()):
        statistics, network = statistics_of(data), to_networkx(data, to_undirected=True)
        assert statistics.edges == network.number_of_edges()
        assert statistics.components == networkx.number_connected_components(network)
        assert statistics.density == pytest.approx(networkx.density(network))
        assert statistics.mean_degree == pytest.approx(sum(degree for _, degree in network.degree) / 20)
