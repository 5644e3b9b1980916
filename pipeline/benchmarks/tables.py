"""Tables of the measurements for people; the JSON file has the same values and more."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table

from gcl.measures.rounding import UNKNOWN, shown
from pipeline.benchmarks.estimate import StageTime, total, without_ablation
from pipeline.benchmarks.graph_loss import DENSE, SPARSE

Numbers = Mapping[str, Any]


def graph_loss_table(measured: Numbers) -> RenderableType:
    """Two tables: by size, and by convolution at the published size."""
    return Group(_by_size(measured["sizes"]), _by_convolution(measured["convolutions"]))


def _by_size(rows: Iterable[Numbers]) -> Table:
    """One row per size. Peaks are from processes that return freed memory to the system, as the last row's does."""
    columns = ("patches", "batch", DENSE, f"PyG's {SPARSE}", "ratio", f"{DENSE}, peak", f"PyG's {SPARSE}, peak")
    table = _table("graph loss, forward and backward, published setting", *columns)
    for row in rows:
        seconds = [_seconds(row[name]) for name in (DENSE, SPARSE)]
        memory = [_mebibytes(row[name].get("memory")) for name in (DENSE, SPARSE)]
        patches = f"{row['patches']}, in a plain process" if "plain_process" in row else str(row["patches"])
        table.add_row(patches, str(row["batch"]), *seconds, shown(row.get("ratio")), *memory)
    return table


def _by_convolution(convolutions: Mapping[str, Numbers]) -> Table:
    table = _table("the published size with other graph convolutions", "graph.convolution", "time", "ratio")
    for name, timing in convolutions.items():
        table.add_row(name, _seconds(timing), shown(timing["ratio"]))
    return table


def step_table(settings: Mapping[str, Numbers]) -> Table:
    """The parts of the step for every setting, then the gain from settings chosen for speed."""
    table = _table("training step", "setting", "part", "time", "share or ratio")
    for name, measured in settings.items():
        format_ = f"{measured['precision']}, channels last {'on' if measured['channels_last'] else 'off'}"
        table.add_row(name, f"whole step, data included ({format_})", _seconds(measured["step"]), "", style="bold")
        for part, timing in measured["parts"].items():
            table.add_row("", part, _seconds(timing), f"{100 * timing['share']:.1f} %")
        convolutions = measured["convolutions"]
        count = f"{convolutions['forward']} + {convolutions['backward']} bare convolutions"
        ratio = f"step is {convolutions['step_to_convolutions']:.2f} x"
        table.add_row("", count, _seconds(convolutions), ratio)
        for choice, timing in measured["combinations"].items():
            table.add_row("", f"step without data, {choice}", _seconds(timing), f"speed {timing['speedup']:.2f} x")
        table.add_section()
    return table


def translation_table(settings: Mapping[str, Numbers]) -> Table:
    """Images per second of the plain loop and of the stage, in float32 and in bfloat16; tiles beside the whole."""
    columns = ("setting", "pixels", "plain loop", "gcl translate", "in bfloat16", "time in tiles")
    table = _table("translation, images/s", *columns)
    for name, measured in settings.items():
        gains = [
            f"{shown(measured[loop]['images_a_second'])} ({measured[loop]['speedup']:.2f} x)"
            for loop in ("gcl_translate", "gcl_translate_bfloat16")
        ]
        tiles = f"{measured['tiles']['times_as_long']:.2f} x"
        table.add_row(name, str(measured["size"]), shown(measured["plain_loop"]["images_a_second"]), *gains, tiles)
    return table


def evaluation_table(measured: Numbers) -> Table:
    """The time and the images per second with the bundled features."""
    table = _table("evaluation, bundled features", "test images", "train images", "pixels", "time", "test images/s")
    counts = [str(measured[name]) for name in ("test", "train", "size")]
    table.add_row(*counts, _seconds(measured), shown(measured["images_a_second"]))
    return table


def startup_table(commands: Mapping[str, Numbers]) -> Table:
    """One row per command."""
    table = _table("start-up", "command", "time")
    for name, timing in commands.items():
        table.add_row(name, _seconds(timing))
    return table


def estimate_table(rows: Sequence[StageTime]) -> Table:
    """One row per stage, and the totals without and with the ablation."""
    table = _table("estimate for this machine", "stage", "time", "of")
    for row in rows:
        table.add_row(row.stage, _duration(row.seconds), row.sum)
    table.add_section()
    unknown = ", without what cannot be measured beforehand" if any(row.seconds is None for row in rows) else ""
    table.add_row("dvc repro report", _duration(total(without_ablation(rows))), f"main run{unknown}", style="bold")
    table.add_row("dvc repro", _duration(total(rows)), f"main run and ablation{unknown}", style="bold")
    return table


def _table(title: str, *columns: str) -> Table:
    return Table(*columns, title=title, title_justify="left")


def _seconds(timing: Numbers) -> str:
    """The median in seconds, or why there is none."""
    return f"skipped: {timing['skipped']}" if "skipped" in timing else f"{timing['seconds']:.3g} s"


def _mebibytes(memory: int | None) -> str:
    return UNKNOWN if memory is None else f"{memory / 2**20:.0f} MiB"


def _duration(seconds: float | None) -> str:
    """``seconds`` in the unit that one would use: seconds, minutes or hours."""
    if seconds is None:
        return UNKNOWN
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
