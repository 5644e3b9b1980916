"""The model that a training starts from: a folder on disk, or the model of an MLflow run."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from gcl.config import Params
from gcl.errors import UserError
from gcl.training.start_from import Start, read_start
from pipeline.params import repository_root
from pipeline.tracking.store import download_artifacts, first_line, tracking_uri

RUN = re.compile(r"runs:/(?P<id>[0-9a-f]{32})(/model)?")


def start_of(params: Params, model: Path) -> Start | None:
    """What ``train.start_from`` names: a path, or ``runs:/ID`` for the model that an MLflow run logged; None for null.

    ``model`` is the folder that the training will fill. UserError if there is no such model, or if it does not fit.
    """
    source = params.train.start_from
    if source is None:
        return None
    with _folder(source) as folder:
        if not folder.exists() and folder.resolve() == model.resolve():
            raise UserError(
                f"train.start_from = {source}: DVC removes this folder before it trains; name a copy of it, or the "
                "MLflow run that trained it: runs:/ID"
            )
        try:
            return read_start(folder, source, params)
        except UserError as error:
            # The folder of a run is a temporary one.
            raise UserError(str(error).replace(str(folder), source)) from error


@contextmanager
def _folder(source: str) -> Iterator[Path]:
    if not source.startswith("runs:"):
        # In the clone of a DVC experiment, files unknown to git are only in the original repository.
        yield repository_root() / Path(source).expanduser()
        return
    run = RUN.fullmatch(source)
    if run is None:
        raise UserError(f"train.start_from = {source}: an MLflow run is named runs:/ID, with the 32 digits of its id")
    with TemporaryDirectory() as folder:
        try:
            model = download_artifacts(run["id"], "model", Path(folder))
        # The errors of MLflow, SQLAlchemy and requests have no base class in common.
        except Exception as error:
            told = f"train.start_from = {source}: no model of this run can be read from {tracking_uri()}"
            raise UserError(f"{told}: {first_line(error)}") from error
        yield model
