"""The command line: one command per stage, other tools, and how a failing command ends."""

import os
import sys
import warnings

import typer

from gcl.errors import UserError
from pipeline.commands import experiments, pictures, stages, tools
from pipeline.running.freed_memory import keep_freed_memory

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Unpaired image-to-image translation with patch-wise graph contrastive learning.\n\n"
    "One command per stage, in this order; `dvc repro` runs all stages that are out of date.",
)
app.add_typer(stages.app)
app.add_typer(experiments.app)
app.add_typer(pictures.app)
app.add_typer(tools.app)


def main() -> None:
    """Runs the command line; a user's mistake ends in one message and exit status 1, without a traceback."""
    # OpenMP reads this when torch loads it. By default its threads spin for milliseconds while they wait, so a training
    # step takes many times as long once another process needs a core. With this value a step is as fast when the
    # machine is idle, and tolerable when it is not.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    keep_freed_memory()
    # Importing torch-geometric raises this warning, and a user could do nothing about it.
    warnings.filterwarnings("ignore", message="`torch.jit.script` is deprecated", category=FutureWarning)
    try:
        app()
    except (UserError, OSError) as error:
        typer.secho(f"error: {error}", fg=typer.colors.RED, err=True)
        sys.exit(1)
