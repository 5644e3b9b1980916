"""The commands on anybody's pictures: they need neither params.yaml nor a trained model.

What they call is imported inside them, because torch and MLflow take seconds that ``--help`` must not cost.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from pipeline.running.stopping import stop_cleanly

app = typer.Typer()


class Features(StrEnum):
    """The choices of evaluate.features."""

    small = "small"
    efficientnet_lite2 = "efficientnet_lite2"
    inception = "inception"


@app.command()
def contact_sheet(
    source: Annotated[Path, typer.Argument(metavar="INPUT", help="Folder of the inputs, nested or not.")],
    folders: Annotated[
        list[Path], typer.Argument(metavar="OUT...", help="Folders of translations, named like their inputs.")
    ],
    target: Annotated[Path, typer.Option("--output", help="File to write, ending in .png.")],
    labels: Annotated[
        str | None,
        typer.Option(help="A label for each OUT, separated by commas.", show_default="the names of the folders"),
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="The most inputs to show, spread evenly over the folder.")] = 8,
    metrics: Annotated[
        bool, typer.Option("--metrics", help="Write LPIPS and structure to the input under each translation.")
    ] = False,
    features: Annotated[
        Features, typer.Option(help="Features to measure on, as in evaluate.features.")
    ] = Features.small,
):
    """Show pictures of several models side by side: a row for each input, a column for each folder."""
    from pipeline.pictures.contact_sheet import contact_sheet

    stop_cleanly()
    contact_sheet(
        source,
        folders,
        target,
        None if labels is None else labels.split(","),
        count,
        features.value if metrics else None,
    )
