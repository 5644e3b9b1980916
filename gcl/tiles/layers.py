"""The generator's layers on a band of rows: which rows of its input each one needs, and what it makes of them.

A band holds all columns, so only its upper and lower edge can differ from the whole picture's. A layer pads there only
at the picture's own edges; elsewhere the neighbouring rows take the place of the padding.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gcl.errors import UserError
from gcl.networks.channel_statistics import ChannelStatistics
from gcl.networks.generator import Generator, ResidualBlock
from gcl.networks.layers import BlurDownsample, BlurUpsample, InstanceNorm2d, PositionNorm2d, ReflectionPad2d

WHOLE_PICTURE = InstanceNorm2d
"""The layer whose output depends on all rows of its input."""

POINTWISE = (nn.ReLU, nn.Tanh, PositionNorm2d)
"""Layers whose output at a position depends on their input at that position only."""

NUMBER = 4
"""The bytes of a float32."""


class Rows(NamedTuple):
    """The rows from ``start`` up to but not including ``stop`` of a map."""

    start: int
    stop: int

    @property
    def count(self) -> int:
        return self.stop - self.start


class Shape(NamedTuple):
    """The size of a map."""

    channels: int
    height: int
    width: int

    def bytes(self, rows: int) -> int:
        """The bytes that ``rows`` of its rows take."""
        return self.channels * rows * self.width * NUMBER


class RowLayer(Protocol):
    """A layer that works on bands of rows."""

    def shape(self, given: Shape) -> Shape:
        """The shape of the output for an input of the shape ``given``."""

    def needed(self, rows: Rows, given: Shape) -> Rows:
        """The rows of the input that the ``rows`` of the output depend on."""

    def apply(self, images: Tensor, at: Rows, rows: Rows, given: Shape) -> Tensor:
        """Computes the ``rows`` of the output, (1, C, rows, W), from the :meth:`needed` rows ``at`` of the input.

        May overwrite ``images``.
        """

    def peak(self, at: Rows, rows: Rows, given: Shape) -> int:
        """The most bytes that :meth:`apply` holds at once, its input and output included."""


class Reflection:
    """Reflection padding by ``side`` pixels on all sides."""

    def __init__(self, side: int):
        self.side = side

    def shape(self, given: Shape) -> Shape:
        return Shape(given.channels, given.height + 2 * self.side, given.width + 2 * self.side)

    def _reflected(self, rows: Rows, height: int) -> tuple[int, int]:
        """How many of the ``rows``, and of those between them and the edge, lie above and below the picture."""
        return max(0, self.side - rows.start), max(0, rows.stop - self.side - height)

    def needed(self, rows: Rows, given: Shape) -> Rows:
        above, below = self._reflected(rows, given.height)
        start = 0 if above else rows.start - self.side
        stop = given.height if below else rows.stop - self.side
        start = min(start, given.height - 1 - below) if below else start
        return Rows(max(start, 0), min(max(stop, above + 1), given.height))

    def apply(self, images: Tensor, at: Rows, rows: Rows, given: Shape) -> Tensor:
        above, below = self._reflected(rows, given.height)
        # On a CPU, autocast would pad in float32.
        with torch.autocast(images.device.type, enabled=False):
            padded = F.pad(images, (self.side, self.side, above, below), mode="reflect")
        first = rows.start - self.side - (at.start - above)
        return padded[:, :, first : first + rows.count]

    def peak(self, at: Rows, rows: Rows, given: Shape) -> int:
        padded = at.count + sum(self._reflected(rows, given.height))
        return given.bytes(at.count) + self.shape(given).bytes(padded)


class Convolution:
    """A convolution with zero padding."""

    def __init__(self, weight: Tensor, bias: Tensor | None, stride: int = 1, side: int = 0, groups: int = 1):
        self.weight, self.bias, self.stride, self.side, self.groups = weight, bias, stride, side, groups
        self.taps = weight.shape[-1]

    def shape(self, given: Shape) -> Shape:
        height, width = ((size + 2 * self.side - self.taps) // self.stride + 1 for size in given[1:])
        return Shape(len(self.weight), height, width)

    def _covered(self, rows: Rows) -> Rows:
        """The rows under the taps, padding included: some may be negative or beyond the height."""
        return Rows(rows.start * self.stride - self.side, (rows.stop - 1) * self.stride - self.side + self.taps)

    def needed(self, rows: Rows, given: Shape) -> Rows:
        covered = self._covered(rows)
        return Rows(max(covered.start, 0), min(covered.stop, given.height))

    def apply(self, images: Tensor, at: Rows, rows: Rows, given: Shape) -> Tensor:
        above, below = self._padded(at, rows)
        if above != below:
            images, above = F.pad(images, (0, 0, above, below)), 0
        return F.conv2d(images, self.weight, self.bias, self.stride, (above, self.side), groups=self.groups)

    def _padded(self, at: Rows, rows: Rows) -> tuple[int, int]:
        """The rows of zeros above and below."""
        covered = self._covered(rows)
        return at.start - covered.start, covered.stop - at.stop

    def peak(self, at: Rows, rows: Rows, given: Shape) -> int:
        above, below = self._padded(at, rows)
        # The caller holds the input while a padded copy of it is convolved.
        padded = given.bytes(self._covered(rows).count) if above != below else 0
        return given.bytes(at.count) + padded + self.shape(given).bytes(rows.count)


class Doubling:
    """Upsampling to twice the height and width, ``nearest`` or ``bilinear``."""

    def __init__(self, mode: str):
        self.mode = mode

    def shape(self, given: Shape) -> Shape:
        return Shape(given.channels, 2 * given.height, 2 * given.width)

    def needed(self, rows: Rows, given: Shape) -> Rows:
        if self.mode == "nearest":
            return Rows(rows.start // 2, (rows.stop + 1) // 2)
        # A row lies a quarter of a pixel off the row that it comes from, between that one and its neighbour.
        return Rows(max((rows.start - 1) // 2, 0), min(rows.stop // 2 + 1, given.height))

    def apply(self, images: Tensor, at: Rows, rows: Rows, given: Shape) -> Tensor:
        corners = False if self.mode == "bilinear" else None
        larger = F.interpolate(images, scale_factor=2, mode=self.mode, align_corners=corners)
        first = rows.start - 2 * at.start
        return larger[:, :, first : first + rows.count]

    def peak(self, at: Rows, rows: Rows, given: Shape) -> int:
        return given.bytes(at.count) + self.shape(given).bytes(2 * at.count)


class Pointwise:
    """Any function of each position."""

    def __init__(self, function: Callable[[Tensor], Tensor], in_place: bool = False):
        self.function, self.in_place = function, in_place

    def shape(self, given: Shape) -> Shape:
        return given

    def needed(self, rows: Rows, given: Shape) -> Rows:
        return rows

    def apply(self, images: Tensor, at: Rows, rows: Rows, given: Shape) -> Tensor:
        return self.function(images)

    def peak(self, at: Rows, rows: Rows, given: Shape) -> int:
        return given.bytes(rows.count) * (1 if self.in_place else 2)


def normalising(statistics: ChannelStatistics) -> Pointwise:
    """Instance normalisation by ``statistics``, once they are complete."""
    return Pointwise(statistics.normalise, in_place=True)


class Residual:
    """A residual block without a layer that needs the whole picture."""

    def __init__(self, layers: list[RowLayer]):
        self.chain = Chain(layers)

    def shape(self, given: Shape) -> Shape:
        return given

    def needed(self, rows: Rows, given: Shape) -> Rows:
        return self.chain.spans(rows, given)[0]

    def apply(self, images: Tensor, at: Rows, rows: Rows, given: Shape) -> Tensor:
        # The chain may overwrite its input only from the first copy on, which the reflection makes.
        return self.chain.apply(images, rows, given) + images[:, :, rows.start - at.start : rows.stop - at.start]

    def peak(self, at: Rows, rows: Rows, given: Shape) -> int:
        return given.bytes(at.count) + self.chain.peak(rows, given) + given.bytes(rows.count)


class Chain:
    """Layers, one after the other."""

    def __init__(self, layers: list[RowLayer]):
        self.layers = layers

    def shapes(self, given: Shape) -> list[Shape]:
        """The shape of the input ``given`` and of every layer's output."""
        shapes = [given]
        for layer in self.layers:
            shapes.append(layer.shape(shapes[-1]))
        return shapes

    def spans(self, rows: Rows, given: Shape) -> list[Rows]:
        """The rows of the input, and of every layer's output, that the last layer's ``rows`` depend on."""
        spans = [rows]
        for layer, shape in zip(self.layers[::-1], self.shapes(given)[-2::-1], strict=True):
            spans.append(layer.needed(spans[-1], shape))
        return spans[::-1]

    def apply(self, images: Tensor, rows: Rows, given: Shape) -> Tensor:
        """The ``rows`` of the last layer's output, from the rows of the input that :meth:`spans` names."""
        spans = self.spans(rows, given)
        for layer, shape, at, wanted in zip(self.layers, self.shapes(given), spans, spans[1:], strict=False):
            images = layer.apply(images, at, wanted, shape)
        return images

    def peak(self, rows: Rows, given: Shape) -> int:
        """The most bytes that :meth:`apply` holds at once."""
        spans = self.spans(rows, given)
        steps = zip(self.layers, self.shapes(given), spans, spans[1:], strict=False)
        return max((layer.peak(at, wanted, shape) for layer, shape, at, wanted in steps), default=0)


def whole_chain(generator: Generator) -> Chain:
    """All layers of ``generator`` in one chain."""
    return Chain([row for layer in generator.model for row in row_layers(layer)])


def row_layers(module: nn.Module) -> list[RowLayer]:
    """The layers of ``module`` on bands of rows; UserError for a layer that is not known here."""
    match module:
        case nn.Conv2d():
            return [Convolution(module.weight, module.bias, module.stride[0], module.padding[0], module.groups)]
        case ReflectionPad2d():
            return [Reflection(module.padding[0])]
        case BlurDownsample():
            filters = module.filt
            return [*row_layers(module.pad), Convolution(filters, None, stride=2, groups=len(filters))]
        case BlurUpsample():
            return [Doubling("bilinear")]
        case nn.Upsample():
            return [Doubling(module.mode)]
        case ResidualBlock():
            return [Residual([layer for inner in module.conv_block for layer in row_layers(inner)])]
    # Of a band this would be wrong; of all rows it is right, and tells what memory they take.
    if isinstance(module, (*POINTWISE, WHOLE_PICTURE)):
        return [Pointwise(module, getattr(module, "inplace", False))]
    raise UserError(f"a generator with the layer {type(module).__name__} cannot translate in tiles")
