"""The options that several commands share, and how a command reads its parameters."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from gcl.config import Params

ParamsFile = Annotated[Path, typer.Option("--params", help="The experiment's parameters.")]
PreparedFolder = Annotated[Path, typer.Option(help="Prepared data set: what `gcl prepare` wrote.")]
ModelFolder = Annotated[Path, typer.Option(help="Model folder: what `gcl train` or `gcl import-checkpoint` wrote.")]
TranslatedFolder = Annotated[Path, typer.Option(help="Translated images: what `gcl translate` wrote.")]
ReportsFolder = Annotated[Path, typer.Option(help="Folder of metrics, curves, pictures and the report.")]
RunFile = Annotated[
    Path | None,
    typer.Option(
        help="File that keeps the id of the MLflow run.", show_default="data/run.json, or beside other reports"
    ),
]
UnfinishedFolder = Annotated[Path, typer.Option(help="Folder of the states from which a killed training resumes.")]
Restart = Annotated[bool, typer.Option("--restart", help="Start from scratch, whatever is there.")]


def params_in(file: Path) -> "Params":
    """The parameters in ``file``, read before a stage is imported, so that a wrong key is reported at once."""
    from pipeline.params import read_params

    return read_params(file)
