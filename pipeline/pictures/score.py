"""`gcl score`: a table of every metric that plain folders of images allow, the notes and the verdict."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.table import Table

from gcl.files import write_json
from gcl.measures.evaluation_rows import SIDES, YARDSTICKS, Row
from gcl.measures.rounding import UNKNOWN, shown
from gcl.scoring.score import score
from pipeline.console import announce, console, progress_bar
from pipeline.pictures.json_file import check_json_target
from pipeline.pictures.measuring import measuring

INTERVAL = "95 %\ninterval"

LEGEND = (
    "untranslated: the input, measured like the outputs; another: each input held against another one; real: the other "
    f"real images; images: those of both sets, or the number of pairs; {UNKNOWN}: unknown"
)
"""What the columns hold."""


def print_score(folders: Mapping[str, Path], features: str | None, params_file: Path, output: Path | None) -> None:
    """Scores ``folders`` (:func:`gcl.scoring.score.score`), prints everything and writes it to the JSON ``output``.

    ``params_file`` and ``features`` are those of :func:`pipeline.pictures.measuring.measuring`.
    """
    check_json_target(output)
    config, device = measuring(params_file, features)
    scored = score(folders, config, device, progress_bar)
    console.print(_table(scored.rows))
    announce(LEGEND)
    for note in scored.notes:
        announce(f"note: {note}")
    if scored.verdict is not None:
        announce(scored.verdict.sentence)
    if output is not None:
        contents = {
            "folders": {name: str(folder) for name, folder in folders.items()},
            "features": config.features,
            "seed": config.seed,
            "metrics": scored.rows,
            "notes": scored.notes,
            "verdict": scored.verdict and scored.verdict._asdict(),
        }
        write_json(output, contents)
        announce(f"written: {output}")


def _table(rows: Sequence[Row]) -> Table:
    """Two lines per metric, narrow enough for most terminals."""
    table = Table(box=None, padding=(0, 1, 0, 0))
    for column in ("metric", "value", INTERVAL, *YARDSTICKS, "images"):
        table.add_column(
            column, overflow="fold", no_wrap=column != INTERVAL, min_width=8 if column == INTERVAL else None
        )
    for row in rows:
        beside = [shown(row[yardstick]) for yardstick in YARDSTICKS]
        name = f"{row['name']}\n({SIDES[row['better']]})"
        table.add_row(name, shown(row["value"]), _interval(row), *beside, _samples(row))
    return table


def _interval(row: Row) -> str:
    return UNKNOWN if row["interval"] is None else " to\n".join(shown(bound) for bound in row["interval"])


def _samples(row: Row) -> str:
    return f"{row['images']} and\n{row['reference']}" if row["compares"] == "sets" else str(row["images"])
