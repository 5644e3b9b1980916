"""The command line: one command a stage, the tools beside them, and how a command that fails ends."""

import os
import sys
import warnings

import typer

from gcl.errors import UserError
from pipeline.commands import stages, tools
from pipeline.running.freed_memory import keep_freed_memory

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Unpaired image-to-image translation with patch-wise graph contrastive learning.\n\n"
    "One command a stage, in this order; `dvc repro` runs all that are out of date.",
)
app.add_typer(stages.app)
app.add_typer(tools.app)


def main() -> None:
    """Runs the command line; a person's mistake ends in one message and exit status 1, without a traceback."""
    # Read when torch loads OpenMP, whose threads spin for milliseconds while they wait: as soon as another process
    # wants a core too, a training step takes many times as long. This is as fast alone and bearable in company.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    keep_freed_memory()
    # Where gcl bench imports torch-geometric; nothing a user could do about it.
    warnings.filterwarnings("ignore", message="`torch.jit.script` is deprecated", category=FutureWarning)
    try:
        app()
    except (UserError, OSError) as error:
        typer.secho(f"error: {error}", fg=typer.colors.RED, err=True)
        sys.exit(1)
