"""Cuts a generator into passes over the picture.

A pass ends where a normalisation has to know the whole map. If none has to, it ends before residual blocks and
upsampling: with all layers in one pass, bands would overlap by more rows than they have. It reads a map band by band,
completes its statistics and writes it to a file, from which the next pass goes on. Maps at full resolution, by far the
largest, are not written but computed again.
"""

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from gcl.networks.channel_statistics import ChannelStatistics
from gcl.networks.generator import INSIDE, Generator, ResidualBlock
from gcl.networks.layers import BlurUpsample
from gcl.tiles.layers import WHOLE_PICTURE, Pointwise, RowLayer, Rows, normalising, row_layers
from gcl.tiles.maps import Computed, Kept, Map, Picture, Stored, Sum

STORED_BEFORE = (ResidualBlock, BlurUpsample, nn.Upsample)
"""The layers before which a pass ends if no normalisation ends it."""


class Pass(NamedTuple):
    """One pass: the map that it reads and what becomes of it.

    Attributes:
        map: the map to read, all of it.
        statistics: what its bands are added to; None if no normalisation follows.
        file: where its bands are written to; None if they are not.
        done: the files that no later pass uses.
    """

    map: Map
    statistics: ChannelStatistics | None
    file: Stored | None
    done: list[Path]

    def paths(self) -> set[Path]:
        """The files that the pass reads or writes."""
        return {file.path for file in [*self.map.files(), *([self.file] if self.file else [])]}

    def bands(self, rows: int) -> Iterator[Rows]:
        """All rows of the map, so many at once."""
        height = self.map.shape.height
        return (Rows(start, min(start + rows, height)) for start in range(0, height, rows))


def passes(generator: Generator, picture: Picture) -> list[Pass]:
    """The passes that translate ``picture``; their files lie in its folder. The last pass yields (1, 3, rows, W)."""
    cut = _Cut(picture, any(isinstance(layer, WHOLE_PICTURE) for layer in generator.modules()))
    *layers, last = generator.model
    for layer in layers:
        cut.follow(layer)
    if generator.residual:
        inverse = Pointwise(lambda images: torch.atanh(INSIDE * images))
        cut.here = Sum(cut.here, Computed(picture, [inverse]))
    cut.follow(last)
    return _with_done([*cut.passes, Pass(cut.here, None, None, [])])


def _with_done(runs: list[Pass]) -> list[Pass]:
    last_use = {path: index for index, run in enumerate(runs) for path in run.paths()}
    return [
        run._replace(done=sorted(path for path, last in last_use.items() if last == index))
        for index, run in enumerate(runs)
    ]


class _Cut:
    """The passes up to a layer of the generator, and the map ``here`` behind that layer."""

    def __init__(self, picture: Picture, passes_end_at_normalisations: bool):
        self.passes_end_at_normalisations = passes_end_at_normalisations
        self.passes: list[Pass] = []
        self.here: Map = picture
        self._picture, self._numbers = picture, count()
        self._free: list[Stored] = []

    def follow(self, layer: nn.Module) -> None:
        """Goes behind the next ``layer``."""
        if isinstance(layer, ResidualBlock) and any(isinstance(inner, WHOLE_PICTURE) for inner in layer.conv_block):
            self._follow_block(layer)
        elif isinstance(layer, WHOLE_PICTURE):
            self._normalise(is_stored=self.here.shape[1:] != self._picture.shape[1:], alive=[])
        else:
            if not self.passes_end_at_normalisations and isinstance(layer, STORED_BEFORE):
                self._store()
            self.here = _extended(self.here, row_layers(layer))

    def _follow_block(self, block: ResidualBlock) -> None:
        entry = self._file(self.here)
        self.here = Kept(self.here, entry)
        for layer in block.conv_block:
            if isinstance(layer, WHOLE_PICTURE):
                self._normalise(is_stored=True, alive=[entry])
            else:
                self.here = _extended(self.here, row_layers(layer))
        self.here = Sum(self.here, entry)

    def _store(self) -> None:
        """Ends a pass with the map in a file."""
        given, file = self.here, self._file(self.here)
        self.here = file
        self._free += [file for file in dict.fromkeys(given.files()) if file is not self._picture]
        self.passes.append(Pass(given, None, file, []))

    def _normalise(self, is_stored: bool, alive: list[Stored]) -> None:
        """Ends a pass at an instance normalisation; the files ``alive`` are still needed afterwards."""
        given, statistics = self.here, ChannelStatistics()
        file = self._file(given) if is_stored else None
        self.here = _extended(file or given, [normalising(statistics)])
        still_needed = {*self.here.files(), *alive, self._picture}
        self._free += [file for file in dict.fromkeys(given.files()) if file not in still_needed]
        self.passes.append(Pass(given, statistics, file, []))

    def _file(self, given: Map) -> Stored:
        """A file for the map ``given``, preferably one that is free: to overwrite a file is faster than to make one."""
        # Files of other sizes do not wait for a later map: that would take disk.
        self._free = [file for file in self._free if file.shape == given.shape]
        if self._free:
            return self._free.pop()
        return Stored(self._picture.path.with_name(f"map_{next(self._numbers)}"), given.shape, self._picture.device)


def _extended(given: Map, layers: list[RowLayer]) -> Computed:
    return Computed(given.given, [*given.layers, *layers]) if isinstance(given, Computed) else Computed(given, layers)
