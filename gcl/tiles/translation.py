"""Translates large pictures: as a whole if that fits in memory, otherwise in tiles, which in float32 gives the same.

Instance normalisation needs the mean and variance of the whole picture. So all tiles go through one layer after the
other, and the statistics are complete before any of them goes on (:mod:`gcl.tiles.passes`).
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from functools import lru_cache, partial
from pathlib import Path

import torch

from gcl.images.pixels import to_pixels
from gcl.networks import inference
from gcl.networks.generator import Generator
from gcl.networks.inference import Autocast, NotFiniteError, translate_file
from gcl.tiles.memory import MOST, free_memory, return_freed_memory
from gcl.tiles.plan import Plan, largest_map, planned, whole_memory
from gcl.tiles.reading import MOST_PIXELS, Header, header, read_rows
from gcl.tiles.scratch import check_disk, scratch_folder
from gcl.tiles.writing import RowFile, encode, most_encoded, move

MOST_ON_CUDA = 2**31
"""CUDA's reflection padding takes only maps of fewer numbers."""

Tell = Callable[[Path, Plan], None]
"""Is called with a picture and its plan before it is translated in tiles."""

Follow = Callable[[Iterator[None], int], Iterable[None]]
"""Yields what it is given, once for each of so many bands; shows a progress bar, for instance."""


def untold(source: Path, plan: Plan) -> None:
    """Tells nobody."""


def unfollowed(bands: Iterator[None], total: int) -> Iterator[None]:
    """Shows nothing."""
    return bands


class LargePictures:
    """Translates pictures one at a time, in tiles if they take too much memory as a whole.

    Args:
        generator: is moved to ``device``, channels last.
        device, autocast: as in :func:`gcl.networks.inference.translate_folder`.
        memory: the bytes that translating one picture may take; None takes most of what is free at first.
        keep_alpha: whether pictures keep their transparency.
        tell: told of pictures that are translated in tiles.
        follow: follows the bands of such pictures.
    """

    def __init__(
        self,
        generator: Generator,
        device: torch.device,
        autocast: Autocast = nullcontext,
        memory: int | None = None,
        keep_alpha: bool = False,
        tell: Tell = untold,
        follow: Follow = unfollowed,
    ):
        self._generator = generator.to(device, memory_format=torch.channels_last).eval()
        self._device, self._autocast, self._keep_alpha = device, autocast, keep_alpha
        # Later, what this process has freed and kept would count as taken.
        self._memory = int(MOST * free_memory(device)) if memory is None else memory
        self._tell, self._follow = tell, follow
        # The images of a folder often have the same size.
        self._whole_memory = lru_cache(partial(whole_memory, self._generator))

    def concerns(self, path: Path, at_once: int) -> bool:
        """Whether the picture is large, or ``at_once`` of its size would take too much memory."""
        about = header(path)
        is_large = about.pixels >= inference.LARGE_IMAGE
        return is_large or at_once * self._whole_memory(about.height, about.width) > self._memory

    def translate(self, source: Path, target: Path) -> list[str]:
        """Writes the translation of ``source`` to ``target``, a PNG or a tiled TIFF; returns remarks on the picture.

        UserError, and nothing is written, if the picture cannot be read, there is too little memory or disk, or its
        translation holds values that are not finite.
        """
        about = header(source)
        with scratch_folder(target) as folder:
            encoded = folder / f"encoded{target.suffix.lower()}"
            way = self._as_a_whole if self._fits(about) else self._in_tiles
            try:
                remarks = way(source, about, encoded)
                move(encoded, target)
            except OSError as error:
                raise OSError(error.errno, f"{error.strerror}; nothing is written", str(target)) from error
        return remarks

    def _fits(self, about: Header) -> bool:
        """Whether the picture is translated as a whole."""
        whole = self._whole_memory(about.height, about.width)
        if self._device.type == "cuda" and largest_map(self._generator, about.height, about.width) >= MOST_ON_CUDA:
            return False
        return about.pixels <= MOST_PIXELS and whole <= self._memory

    def _as_a_whole(self, source: Path, about: Header, encoded: Path) -> list[str]:
        """Writes the translation of ``source`` to ``encoded``."""
        check_disk(encoded.parents[1], most_encoded(about.height, about.width, 4 if self._keep_alpha else 3), source)
        png, own = encoded.with_suffix(".png"), (self._device, self._autocast, self._keep_alpha)
        remarks = translate_file(self._generator, source, png, *own).remarks
        if png != encoded:
            encode(png, encoded)
        return remarks

    @torch.inference_mode()
    def _in_tiles(self, source: Path, about: Header, encoded: Path) -> list[str]:
        """Writes the translation of ``source`` to ``encoded``, and all other files to the same folder."""
        folder = encoded.parent
        plan = planned(self._generator, about, self._memory, folder, self._device, self._keep_alpha)
        check_disk(folder.parent, plan.disk, source)
        self._tell(source, plan)
        alpha = folder / "alpha" if self._keep_alpha else None
        remarks = read_rows(source, plan.picture.path, alpha, about.is_streamed)
        with RowFile(folder / "translated", about.height, about.width, alpha) as translation:
            for _ in self._follow(self._bands(plan, source, translation), plan.bands):
                pass
        encode(translation.path, encoded)
        return remarks

    def _bands(self, plan: Plan, source: Path, translation: RowFile) -> Iterator[None]:
        """Runs the passes; yields after each band. NotFiniteError if the translation holds values that are not."""
        *before, (last, rows) = plan.passes
        shape = None
        for run, its_rows in before:
            if run.map.shape != shape:
                # Freed pieces of other sizes would not fit the maps of this pass.
                return_freed_memory()
            shape = run.map.shape
            for band in run.bands(its_rows):
                with self._autocast():
                    images = run.map.read(band)
                if run.statistics:
                    run.statistics.add(images)
                if run.file:
                    run.file.write(band, images)
                yield
            _delete(run.done)
        return_freed_memory()
        for band in last.bands(rows):
            with self._autocast():
                images = last.map.read(band)
            if not images.isfinite().all():
                raise NotFiniteError(f"{source}: its translation holds values that are not finite")
            # The rows and columns of the padding are left out: (1, 3, rows, W) -> (rows, W, 3).
            images = images[0, :, : max(0, plan.picture.height - band.start), : plan.picture.width]
            translation.write(to_pixels(images).permute(1, 2, 0).cpu().numpy())
            yield
        _delete(last.done)
        return_freed_memory()


def _delete(files: list[Path]) -> None:
    for file in files:
        file.unlink()
