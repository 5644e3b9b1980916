"""Statistics for the report on how connected a patch graph is."""

from dataclasses import dataclass

from scipy.sparse.csgraph import connected_components
from torch_geometric.data import Data
from torch_geometric.utils import degree, to_scipy_sparse_matrix


@dataclass(frozen=True)
class GraphStatistics:
    """The statistics of one undirected graph without self-loops.

    Attributes:
        nodes, edges: their numbers; an edge counts once for both directions.
        mean_degree: the average number of neighbours of a node.
        components: the number of parts that are not connected with each other, including single nodes.
        density: the share of possible edges that exist, in [0, 1].
    """

    nodes: int
    edges: int
    mean_degree: float
    components: int
    density: float


def statistics_of(graph: Data) -> GraphStatistics:
    """The statistics of ``graph``, which holds every edge in both directions."""
    nodes = graph.num_nodes
    mean_degree = degree(graph.edge_index[0], nodes).mean().item()
    components, _ = connected_components(to_scipy_sparse_matrix(graph.edge_index, num_nodes=nodes), directed=False)
    return GraphStatistics(nodes, graph.num_edges // 2, mean_degree, components, mean_degree / max(nodes - 1, 1))
