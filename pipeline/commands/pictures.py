"""The commands on anybody's pictures: they need neither params.yaml nor a trained model.

What they call is imported inside them, because torch and MLflow take seconds that ``--help`` must not cost.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from pipeline.commands.folders import PARAMS
from pipeline.commands.options import params_in
from pipeline.running.stopping import stop_cleanly

app = typer.Typer()


class Features(StrEnum):
    """The features that metrics compare, as in params.yaml."""

    small = "small"
    efficientnet_lite2 = "efficientnet_lite2"
    inception = "inception"


@app.command()
def score(
    outputs: Annotated[Path, typer.Argument(help="Folder of the pictures to measure, made by any program.")],
    real: Annotated[Path, typer.Option(help="Real images of B, which the outputs should resemble.")],
    inputs: Annotated[Path | None, typer.Option("--input", help="What the outputs were made from, by name.")] = None,
    truth: Annotated[Path | None, typer.Option(help="The true translations, by name.")] = None,
    other_real: Annotated[Path | None, typer.Option(help="Other real images of B, as a yardstick.")] = None,
    features: Annotated[
        Features, typer.Option(help="What images are compared by; inception gives the published metrics.")
    ] = Features.small,
    json_file: Annotated[Path | None, typer.Option("--json", help="JSON file for everything that is printed.")] = None,
):
    """Measure any program's pictures by every metric that the given folders allow, beside doing nothing.

    Images pair by name; the folders are only read. The weights, batch size and seed for evaluation are those of
    params.yaml, if the working directory has one.
    """
    params = params_in(PARAMS) if PARAMS.is_file() else None
    from pipeline.scoring import print_score

    stop_cleanly()
    given = {"outputs": outputs, "real": real, "input": inputs, "truth": truth, "other-real": other_real}
    folders = {name: folder for name, folder in given.items() if folder is not None}
    print_score(folders, features.value, params, json_file)
