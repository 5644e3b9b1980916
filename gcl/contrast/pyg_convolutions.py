"""torch-geometric's graph convolutions over lists of edges, chosen by the names of their classes.

A class is suitable if it can be built from the numbers of channels going in and coming out, and needs nothing but nodes
and edges, with or without edge weights. The names of its parameters determine its arguments; a tiny graph then shows
whether it works.

Classes that always normalise the edge weights, such as SGConv, ChebConv and ARMAConv, normalise S once more.
"""

from collections.abc import Sequence
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn import conv
from torch_geometric.utils import dense_to_sparse

from gcl.contrast.adjacency import propagation_matrix
from gcl.errors import UserError

Edges = tuple[Tensor, Tensor]
"""The ends (2, E) and the weights (E,) of all edges in the graphs of one encoder layer."""


class PyGConvolution(nn.ModuleList):
    """A graph convolution of torch-geometric for each encoder layer, each with its own weights.

    The class decides how they are initialised. All graphs of a layer form one graph of unconnected parts, which is how
    PyG batches graphs.
    """

    def __init__(self, name: str, layers: int, channels: int, hops: int):
        check_pyg_convolution(name, hops, channels)
        super().__init__(_OfLayer(name, channels, hops) for _ in range(layers))

    def propagation(self, adjacency: Tensor, layers: Sequence[int]) -> list[Edges]:
        """The edges of each of the L ``layers``, from ``adjacency`` (L*B, N, N)."""
        return [_edges(of_layer) for of_layer in adjacency.chunk(len(layers))]

    def forward(self, nodes: Tensor, propagation: Sequence[Edges], layers: Sequence[int]) -> Tensor:
        """Convolves ``nodes`` (L*B, N, D), of B graphs for each of L ``layers``; returns the same shape."""
        parts = zip(layers, nodes.chunk(len(layers)), propagation, strict=True)
        # (B, N, D) -> (B*N, D), as one graph
        convolved = [self[layer](of_layer.flatten(0, 1), *edges) for layer, of_layer, edges in parts]
        return torch.cat(convolved).view_as(nodes)  # (L*B*N, D) -> (L*B, N, D)


class _OfLayer(nn.ModuleList):
    """The convolution of one encoder layer: one module with K hops, or ``hops`` modules with ReLU in between."""

    def __init__(self, name: str, channels: int, hops: int):
        kind = getattr(conv, name)
        count = 1 if "K" in signature(kind).parameters else hops
        super().__init__(kind(**_settings(kind, channels, hops)) for _ in range(count))
        self.weighted = _takes_weights(kind)

    def forward(self, nodes: Tensor, edges: Tensor, weights: Tensor) -> Tensor:
        """Convolves ``nodes`` (M, D) along ``edges`` (2, E) with ``weights`` (E,); returns (M, D)."""
        given = {"edge_index": edges, "edge_weight": weights} if self.weighted else {"edge_index": edges}
        for place, convolution in enumerate(self):
            nodes = convolution(nodes.relu() if place else nodes, **given)
        return nodes


def _settings(kind: type[nn.Module], channels: int, hops: int) -> dict[str, Any]:
    """The arguments with which ``kind`` is built, for those of its parameters that are known here."""
    parameters = signature(kind).parameters
    # The edges are those of A + I, so self-loops are included and the weights are already normalised.
    known = {"in_channels": channels, "out_channels": channels, "K": hops, "add_self_loops": False}
    if _takes_weights(kind):
        known["normalize"] = False  # in classes without edge weights, such as SAGEConv, it concerns the nodes
    if "nn" in parameters and parameters["nn"].default is parameters["nn"].empty:
        known["nn"] = nn.Sequential(nn.Linear(channels, channels), nn.ReLU(), nn.Linear(channels, channels))
    return {name: value for name, value in known.items() if name in parameters}


def _takes_weights(kind: type[nn.Module]) -> bool:
    return "edge_weight" in signature(kind.forward).parameters


def _edges(adjacency: Tensor) -> Edges:
    """All edges of A + I, with weights from ``S = D^-1/2 (A + I) D^-1/2``; ``adjacency`` A is (B, N, N)."""
    return dense_to_sparse(propagation_matrix(adjacency))


def check_pyg_convolution(name: str, hops: int, channels: int) -> None:
    """UserError unless torch-geometric has a suitable convolution of this ``name``; the error lists the suitable ones.

    Convolutions without a parameter ``K`` are stacked once per hop, so they need at least one hop.
    """
    reason = _obstacle(name, hops, channels)
    if reason:
        fitting = [other for other in conv.__all__ if not _obstacle(other, hops, channels)]
        raise UserError(
            f"graph.convolution = {name}: {reason}. With graph.hops {hops} choose tag (dense, fast) "
            f"or, from torch-geometric, {', '.join(fitting)}"
        )


def _obstacle(name: str, hops: int, channels: int) -> str | None:
    """Why the convolution cannot be used; None if it can."""
    if name not in conv.__all__:
        return "torch-geometric has no convolution of this name"
    parameters = signature(getattr(conv, name)).parameters
    if not {"in_channels", "out_channels"} <= parameters.keys() and "nn" not in parameters:
        return "it cannot be built from numbers of channels"
    if hops == 0 and "K" not in parameters:
        return "it has no parameter K and is stacked once per hop, so graph.hops must be at least 1"
    try:
        return _tried_out(name, hops, channels)
    except Exception as error:  # a class may raise anything when it is used in a way it was not made for
        told = f"{type(error).__name__}: {error}".splitlines()[0]
        return f"it does not run on nodes and edges alone ({told})"


def _tried_out(name: str, hops: int, channels: int) -> str | None:
    """What goes wrong when two triangles are convolved, or in the gradient; None if nothing does."""
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(0)
        nodes = torch.randn(6, channels, requires_grad=True)
        hidden = _OfLayer(name, channels, hops)(nodes, *_edges(torch.ones(2, 3, 3)))
        if not isinstance(hidden, Tensor) or hidden.shape != nodes.shape:
            return f"it does not return {channels} channels per node"
        (gradient,) = torch.autograd.grad(hidden[:3].square().sum(), nodes)
    if not gradient[:3].any():
        return "no gradient reaches the nodes"
    if gradient[3:].any():
        return "the images of a batch would influence each other"
    return None
