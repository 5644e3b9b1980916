"""The pictures of both reports: sample images, curves, the graph of one image, and metrics by variant."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from gcl.contrast.patch_graph import PatchGraph
from gcl.images.pixels import to_tensor

INCHES, DOTS = 1.25, 120
"""The side of a thumbnail in inches, and the resolution of figures in dots per inch."""

WIDTH = 14
"""The width of a figure of whole pictures, in inches."""

YARDSTICK_LINES = {"untranslated": "--", "real": ":"}

LETTER = 0.09
"""The width of a letter in a label, in inches."""

MEANING = {
    "discriminator": "discriminator",
    "generator_gan": "generator against discriminator",
    "identity": "difference of B from its own translation",
    "r1": "gradient penalty of the discriminator",
    "contrast": "contrastive loss",
    "graph_density": "edges in the graphs, share of all",
}


@dataclass(frozen=True)
class Panel:
    """One metric. ``by_seed`` holds its values by variant; ``intervals`` surround their means, None if unknown.

    ``title`` names the metric, and ``note`` says what the intervals are. The first variant is the one to compare with.
    """

    title: str
    note: str
    by_seed: Mapping[str, Sequence[float]]
    intervals: Mapping[str, tuple[float, float] | None]


def draw_samples(rows: dict[str, Sequence[Path]], target: Path) -> None:
    """Draws one labelled row of thumbnails per entry of ``rows``; the images in a column belong together."""
    columns = max(len(paths) for paths in rows.values())
    labels = LETTER * max(map(len, rows))
    figure = Figure(figsize=(INCHES * columns + labels, INCHES * len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for axes, (label, paths) in zip(grid, rows.items(), strict=True):
        for place in axes[len(paths) :]:
            place.set_axis_off()
        for place, path in zip(axes, paths, strict=False):
            _show(place, to_tensor(path))
        axes[0].set_ylabel(label, rotation="horizontal", horizontalalignment="right", verticalalignment="center")
    _save(figure, target)


def draw_pictures(pictures: Mapping[str, Path], columns: int, target: Path) -> None:
    """Draws ``pictures`` of any shape below their labels, with so many ``columns``."""
    images = {label: to_tensor(path) for label, path in pictures.items()}
    tallest = max(image.shape[1] / image.shape[2] for image in images.values())
    rows = -(-len(images) // columns)
    figure = Figure(figsize=(WIDTH, (WIDTH / columns * tallest + 0.3) * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[len(images) :]:
        axes.set_axis_off()
    for axes, (label, image) in zip(grid.flat, images.items(), strict=False):
        _show(axes, image)
        axes.set_title(label, fontsize=10)
    _save(figure, target)


def draw_curves(curves: pd.DataFrame, target: Path) -> None:
    """Draws one panel per column of ``curves``, over its column ``step``."""
    names = [name for name in curves.columns if name != "step"]
    figure = Figure(figsize=(3.2 * len(names), 2.6), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        axes.plot(curves["step"], curves[name], marker="." if len(curves) < 10 else None)
        axes.set_title(MEANING.get(name, name), fontsize=9)
        axes.set_xlabel("step", fontsize=8)
        axes.tick_params(labelsize=8)
        if not (curves[name] < 0).any():  # hinge losses of a generator can be
            axes.set_ylim(bottom=0)
    _save(figure, target)


def draw_validation(
    curves: pd.DataFrame,
    checkpoints: Mapping[str, int],
    yardsticks: Mapping[str, Mapping[str, float]],
    target: Path,
) -> None:
    """Draws one panel per metric in ``curves``, over its column ``step``.

    The steps of the ``checkpoints`` are marked with their names, and the values of the ``yardsticks`` with theirs.
    """
    names = [name for name in curves.columns if name != "step"]
    figure = Figure(figsize=(3.2 * len(names), 2.8), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        axes.plot(curves["step"], curves[name], marker=".", color="C0")
        for place, (label, step) in enumerate(checkpoints.items()):
            row = curves[curves["step"] == step]
            axes.scatter(
                row["step"], row[name], s=60 + 90 * place, facecolors="none", edgecolors=f"C{place + 1}", label=label
            )
        known = {label: values[name] for label, values in yardsticks.items() if values.get(name) is not None}
        for label, value in known.items():
            axes.axhline(value, color="gray", linewidth=0.8, linestyle=YARDSTICK_LINES[label], label=label)
        axes.set_title(name, fontsize=9)
        axes.set_xlabel("step", fontsize=8)
        axes.tick_params(labelsize=8)
        axes.legend(fontsize=7)
    _save(figure, target)


def draw_metrics(panels: Sequence[Panel], target: Path) -> None:
    """Draws one panel per metric and in it one row per variant: dots are seeds, a tick the mean, a bar its interval."""
    variants = list(panels[0].by_seed)
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    width = 2.1 * columns + LETTER * max(map(len, variants))
    figure = Figure(figsize=(width, (1.0 + 0.22 * len(variants)) * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
    grid[0, 0].set_yticks(range(len(variants)), variants)
    grid[0, 0].set_ylim(len(variants) - 0.5, -0.5)
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    for axes, panel in zip(grid.flat, panels, strict=False):
        _draw_panel(axes, panel)
    _save(figure, target)


def _draw_panel(axes: Axes, panel: Panel) -> None:
    for place, (variant, seeds) in enumerate(panel.by_seed.items()):
        if not seeds:
            continue
        if place == 0:
            axes.axvline(np.mean(seeds), color="gray", linewidth=0.8)
        if panel.intervals[variant] is not None:
            axes.plot(panel.intervals[variant], [place, place], color="C0", linewidth=2, solid_capstyle="butt")
        axes.plot(np.mean(seeds), place, marker="|", markersize=9, markeredgewidth=2, color="C0")
        axes.scatter(seeds, [place] * len(seeds), s=12, color="black", linewidths=0, alpha=0.6, zorder=3)
    axes.set_title(panel.title, fontsize=8)
    axes.set_xlabel(panel.note, fontsize=7)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.tick_params(axis="x", labelsize=7)
    axes.tick_params(axis="y", labelsize=8)
    axes.grid(axis="y", linewidth=0.3)
    axes.set_axisbelow(True)


def draw_graph(graph: PatchGraph, stride: int, images: Sequence[Tensor], target: Path) -> None:
    """Draws the ``graph`` of one input, from an encoder layer of this ``stride``, on the input and its translation.

    The two ``images`` are uint8 (3, H, W).

    From the left: the input with the patch nearest to its centre and that patch's neighbours; the same places in the
    translation; and the nodes that each pooling level kept.
    """
    places = pixel_places(graph, stride, images[0].shape[-2:])  # (N, 2), x and y
    middle = np.array(images[0].shape[:0:-1]) / 2
    chosen = int(np.linalg.norm(places - middle, axis=1).argmin())

    titles = ("input: a patch and its neighbours", "translation: the same places")
    figure = Figure(figsize=(3.2 * (3 if graph.kept else 2), 3.5), layout="constrained")
    axes = figure.subplots(1, 3 if graph.kept else 2)
    for place, image, title in zip(axes, images, titles, strict=False):
        _show(place, image)
        _draw_neighbours(place, places, graph, chosen)
        place.set_title(title, fontsize=10)
    if graph.kept:
        _show(axes[2], images[0])
        _draw_kept(axes[2], places, graph)
        axes[2].set_title("the nodes that pooling kept", fontsize=10)
    _save(figure, target)


def _draw_neighbours(axes: Axes, places: np.ndarray, graph: PatchGraph, chosen: int) -> None:
    neighbours = graph.adjacency[0, chosen].bool().numpy()
    neighbours[chosen] = False
    for place in places[neighbours]:
        axes.plot(*zip(places[chosen], place, strict=True), color="white", linewidth=0.5, alpha=0.6)
    axes.scatter(*places.T, s=6, color="black", linewidths=0, alpha=0.5)
    axes.scatter(*places[neighbours].T, s=14, color="gold", edgecolors="black", linewidths=0.4)
    axes.scatter(*places[chosen], s=90, color="red", marker="s", edgecolors="white")
    axes.set_xlabel(
        f"{neighbours.sum()} of {len(places) - 1} patches; graph density {graph.density.item():.2f}",
        fontsize=8,
    )


def _draw_kept(axes: Axes, places: np.ndarray, graph: PatchGraph) -> None:
    axes.scatter(*places.T, s=6, color="black", linewidths=0, alpha=0.5)
    for level, kept in enumerate(graph.kept, start=1):
        filled = "red" if level == 1 else "none"
        axes.scatter(*places[kept[0].numpy()].T, s=18 * level, facecolors=filled, edgecolors="white")
    counts = " -> ".join(str(kept.shape[1]) for kept in graph.kept)
    axes.set_xlabel(f"{len(places)} nodes -> {counts}", fontsize=8)


def pixel_places(graph: PatchGraph, stride: int, size: Sequence[int]) -> np.ndarray:
    """The centres (N, 2) of the first image's patches, x and y in its pixels; ``size`` is its height and width.

    A patch is a square whose side is the ``stride``; of those at the right and at the bottom, the image may hold less.
    """
    ids, width = graph.ids[0].numpy(), graph.map_size[1]
    first = stride * np.stack([ids % width, ids // width], axis=1)
    last = np.minimum(first + stride, size[::-1]) - 1
    return (first + last) / 2


def _show(axes: Axes, image: Tensor) -> None:
    """Draws (3, H, W) uint8 without ticks."""
    axes.imshow(image.permute(1, 2, 0).numpy(), interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])


def _save(figure: Figure, target: Path) -> None:
    # By default matplotlib writes its version into the file, which is no part of the result.
    figure.savefig(target, dpi=DOTS, metadata={"Software": None})
