"""The stages' own files and folders, and the file by which a later stage finds the MLflow run of a training."""

from pathlib import Path

from gcl.errors import UserError
from pipeline.console import announce

PARAMS = Path("params.yaml")
PREPARED = Path("data/prepared")
MODEL = Path("data/model")
RUN = Path("data/run.json")
UNFINISHED = Path("data/unfinished")
TRANSLATED = Path("data/translated")
TRANSLATED_OTHER = Path("data/translated_other")
VARIANTS = Path("data/variants")
ABLATIONS = Path("data/ablations")
REPORTS = Path("reports")


def training_run_file(reports: Path, model: Path = MODEL) -> Path:
    """The file in which a training keeps its MLflow run: data/run.json, or one in ``reports`` for other folders.

    UserError if the curves and samples of another model would replace those of the stage.
    """
    _check_reports(reports, "--model", (model, MODEL))
    return RUN if _own((reports, REPORTS), (model, MODEL)) else reports / RUN.name


def evaluation_run_file(
    given: Path | None, name: str | None, prepared: Path, translated: Path, reports: Path
) -> Path | None:
    """The file of the MLflow run to log an evaluation to: ``given``, or data/run.json for the stage's own folders.

    None if a new run called ``name`` is requested, and for other folders, which is announced. UserError if ``given``
    does not exist or is combined with ``name``, or if the metrics of other folders would replace those of the stage.
    """
    _check_reports(reports, "--prepared or --translated", (prepared, PREPARED), (translated, TRANSLATED))
    if given is not None and name is not None:
        raise UserError("--run-file logs to the run of a training and --run-name to a new one; leave one of them out")
    if given is not None and not given.is_file():
        raise UserError(f"--run-file {given}: there is no such file; --run-name NAME logs to a new run")
    if given is not None or name is not None:
        return given
    if _own((prepared, PREPARED), (translated, TRANSLATED), (reports, REPORTS)):
        return RUN
    announce(
        "not logged to MLflow, because these are not the stage's own folders: --run-file FILE logs to the run of a "
        "training, --run-name NAME to a new one"
    )
    return None


def other_translated(*pairs: tuple[Path, Path]) -> Path | None:
    """The folder of the translations by the other checkpoint, if all ``pairs`` are a folder and the stage's own."""
    return TRANSLATED_OTHER if _own(*pairs) else None


def _check_reports(reports: Path, options: str, *pairs: tuple[Path, Path]) -> None:
    if _own((reports, REPORTS)) and not _own(*pairs):
        raise UserError(
            f"{reports} holds results of the stages' own folders; with another {options}, name --reports too"
        )


def _own(*pairs: tuple[Path, Path]) -> bool:
    """Whether the first path of each pair is the second, the stage's own."""
    return all(path.resolve() == own.resolve() for path, own in pairs)
