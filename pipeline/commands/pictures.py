"""The commands on anybody's pictures: they need neither params.yaml nor a trained model.

What they call is imported inside them, because torch and MLflow take seconds that ``--help`` must not cost.
"""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.running.stopping import stop_cleanly

app = typer.Typer()


@app.command()
def check(
    folder: Annotated[Path, typer.Argument(help="Folder of trainA, trainB and, optionally, testA and testB.")],
    json: Annotated[Path | None, typer.Option(help="Also write what was found to this file.")] = None,
):
    """Look at photographs before training: sizes, copies, and what tells A from B apart from the content."""
    from pipeline.checking.check import check

    stop_cleanly()
    check(folder, json)
