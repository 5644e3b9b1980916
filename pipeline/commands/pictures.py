"""The commands on anybody's pictures: they need neither params.yaml nor a trained model.

What they call is imported inside them, because torch and MLflow take seconds that ``--help`` must not cost.
"""

import typer

app = typer.Typer()
