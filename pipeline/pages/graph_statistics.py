"""How connected a patch graph is: a few numbers for the report."""

from dataclasses import dataclass

from scipy.sparse.csgraph import connected_components
from torch_geometric.data import Data
from torch_geometric.utils import degree, to_scipy_sparse_matrix


@dataclass(frozen=True)
class GraphStatistics:
    """Of one undirected graph without self-loops.

    Attributes:
        nodes, edges: how many there are, an edge counting once for both of its directions.
        mean_degree: neighbours of a node, on average.
        components: parts that no edge connects with each other, single nodes among them.
        density: the share of possible edges that exist, in [0, 1].
    """

    nodes: int
    edges: int
    mean_degree: float
    components: int
    density: float


def statistics_of(graph: Data) -> GraphStatistics:
    """Those of ``graph``, which holds every edge in both directions."""
    nodes = graph.num_nodes
    mean_degree = degree(graph.edge_index[0], nodes).mean().item()
    components, _ = connected_components(to_scipy_sparse_matrix(graph.edge_index, num_nodes=nodes), directed=False)
    return GraphStatistics(nodes, graph.num_edges // 2, mean_degree, components, mean_degree / max(nodes - 1, 1))
