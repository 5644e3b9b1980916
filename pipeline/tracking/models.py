"""Model folders that parameters name: folders on disk, and the models of MLflow runs."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from gcl.errors import UserError
from pipeline.params import repository_root
from pipeline.tracking.store import download_artifacts, first_line, tracking_uri

RUN = re.compile(r"runs:/(?P<id>[0-9a-f]{32})(/model)?")


@contextmanager
def model_folder(source: str) -> Iterator[Path]:
    """The model folder that ``source`` names: a path, or ``runs:/ID`` for the model that an MLflow run logged.

    The model of a run is downloaded to a temporary folder for the block. UserError if it cannot be.
    """
    if not source.startswith("runs:"):
        # In the clone of a DVC experiment, files unknown to git are only in the original repository.
        yield repository_root() / Path(source).expanduser()
        return
    run = RUN.fullmatch(source)
    if run is None:
        raise UserError(f"{source}: an MLflow run is named runs:/ID, with the 32 digits of its id")
    with TemporaryDirectory() as folder:
        try:
            model = download_artifacts(run["id"], "model", Path(folder))
        # The errors of MLflow, SQLAlchemy and requests have no base class in common.
        except Exception as error:
            raise UserError(
                f"{source}: no model of this run can be read from {tracking_uri()}: {first_line(error)}"
            ) from error
        yield model
