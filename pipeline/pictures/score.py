"""`gcl score`: a table of every metric that plain folders of images allow, the notes and the verdict."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.table import Table

from gcl.config import EvaluateConfig, Params
from gcl.errors import UserError
from gcl.files import write_json
from gcl.measures.evaluation_rows import SIDES, YARDSTICKS, Row
from gcl.measures.rounding import UNKNOWN, shown
from gcl.scoring.score import score
from pipeline.console import announce, console, progress_bar
from pipeline.running.devices import one_device

DEFAULTS = {"inception_weights": None, "alexnet_weights": None, "batch_size": 50, "seed": 0}
"""The section ``evaluate`` of the project's params.yaml without its features, for where there is no params.yaml."""

INTERVAL = "95 %\ninterval"

LEGEND = (
    "untranslated: the input, measured like the outputs; another: each input held against another one; real: the other "
    f"real images; images: those of both sets, or the number of pairs; {UNKNOWN}: unknown"
)
"""What the columns hold."""


def print_score(folders: Mapping[str, Path], features: str, params: Params | None, output: Path | None) -> None:
    """Scores ``folders`` (:func:`gcl.scoring.score.score`), prints everything and writes it to the JSON ``output``.

    Weights, batch size, seed and accelerator are those of ``params``, or the defaults.
    """
    config = EvaluateConfig(**{**(params.evaluate.model_dump() if params else DEFAULTS), "features": features})
    accelerator = params.train.accelerator if params else "auto"
    if output is not None and (output.is_dir() or not output.resolve().parent.is_dir()):
        raise UserError(f"--json {output}: name a file in a folder that exists")
    scored = score(folders, config, one_device(accelerator).type, progress_bar)
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
