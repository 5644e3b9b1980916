"""The choice of graph convolution: the paper's, which is dense and called ``tag``, or torch-geometric's by class name.

Importing this module imports neither torch nor torch-geometric, so that names can be checked before anything slow
begins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

DENSE = "tag"
"""The name of the convolution that does not need torch-geometric."""


def check_convolution(name: str, hops: int, channels: int = 256) -> None:
    """UserError unless ``name`` is ``tag`` or a suitable class of torch-geometric; the error lists the suitable ones.

    ``hops`` and ``channels`` are those of the convolution to be built: some classes only support some values of them.
    """
    if name != DENSE:
        from gcl.contrast.pyg_convolutions import check_pyg_convolution

        check_pyg_convolution(name, hops, channels)


def build_convolution(name: str, layers: int, channels: int, hops: int) -> nn.Module:
    """Builds one graph convolution from ``channels`` to ``channels`` for each of several encoder ``layers``.

    The module is called in two steps, because two graphs may share their edges. ``propagation(adjacency, layers)``
    prepares the edges of an adjacency (L*B, N, N); ``forward(nodes, propagation, layers)`` sends nodes (L*B, N, D)
    along them and returns the same shape. ``layers`` are the L encoder layers whose B graphs follow each other in the
    batch.

    UserError if there is no such convolution or it is not suitable.
    """
    if name == DENSE:
        from gcl.contrast.tag_convolution import TAGConvolution

        return TAGConvolution(layers, channels, hops)
    from gcl.contrast.pyg_convolutions import PyGConvolution

    return PyGConvolution(name, layers, channels, hops)
