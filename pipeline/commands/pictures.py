"""The commands on anybody's pictures: they need neither params.yaml nor a trained model.

What they call is imported inside them, because torch and MLflow take seconds that ``--help`` must not cost.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from pipeline.commands.folders import PARAMS
from pipeline.running.stopping import stop_cleanly

app = typer.Typer()


class Features(StrEnum):
    """The features that metrics compare, as in evaluate.features."""

    small = "small"
    efficientnet_lite2 = "efficientnet_lite2"
    inception = "inception"


FeaturesOption = Annotated[
    Features | None,
    typer.Option(
        help="What images are compared by; inception gives the published metrics.",
        show_default="evaluate.features of params.yaml; without it small",
    ),
]


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
    features: FeaturesOption = None,
):
    """Show pictures of several models side by side: a row for each input, a column for each folder.

    What is written below them is measured as `gcl score` does.
    """
    from pipeline.pictures.contact_sheet import contact_sheet
    from pipeline.pictures.measuring import measuring

    stop_cleanly()
    contact_sheet(
        source,
        folders,
        target,
        None if labels is None else labels.split(","),
        count,
        measuring(PARAMS, features and features.value) if metrics else None,
    )


@app.command()
def score(
    outputs: Annotated[Path, typer.Argument(help="Folder of the pictures to measure, made by any program.")],
    real: Annotated[Path, typer.Option(help="Real images of B, which the outputs should resemble.")],
    inputs: Annotated[Path | None, typer.Option("--input", help="What the outputs were made from, by name.")] = None,
    truth: Annotated[Path | None, typer.Option(help="The true translations, by name.")] = None,
    other_real: Annotated[Path | None, typer.Option(help="Other real images of B, as a yardstick.")] = None,
    features: FeaturesOption = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="JSON file for everything that is printed.")] = None,
):
    """Measure any program's pictures by every metric that the given folders allow, beside doing nothing.

    Images pair by name; the folders are only read. No params.yaml is needed; if the working directory has one of this
    project, the features, weights, batch size and seed for evaluation, and the accelerator, are its own.
    """
    from pipeline.pictures.score import print_score

    stop_cleanly()
    given = {"outputs": outputs, "real": real, "input": inputs, "truth": truth, "other-real": other_real}
    folders = {name: folder for name, folder in given.items() if folder is not None}
    print_score(folders, features and features.value, PARAMS, json_file)


@app.command()
def check(
    folder: Annotated[Path, typer.Argument(help="Folder of trainA, trainB and, optionally, testA and testB.")],
    json: Annotated[Path | None, typer.Option(help="Also write what was found to this file.")] = None,
):
    """Look at photographs before training: sizes, copies, and what tells A from B apart from the content."""
    from pipeline.pictures.check import check

    stop_cleanly()
    check(folder, json)
