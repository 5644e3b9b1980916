"""The commands on many experiments.

What they call is imported inside them, because torch and MLflow take seconds that ``--help`` must not cost.
"""

from typing import Annotated

import typer

from gcl.errors import UserError
from gcl.locks import only_writer
from pipeline.commands.folders import PARAMS, REPORTS
from pipeline.commands.options import ParamsFile
from pipeline.running.stopping import stop_cleanly

app = typer.Typer()


@app.command()
def sweep(
    baseline: Annotated[
        list[str] | None,
        typer.Option(
            help="What differs from params.yaml in the setting to compare with, such as graph.hops=2; repeatable."
        ),
    ] = None,
    metric: Annotated[
        list[str] | None, typer.Option(help="A metric to show; repeatable. By default all that do not mislead.")
    ] = None,
    all_commits: Annotated[
        bool, typer.Option("--all-commits", help="DVC experiments from every commit, not only from HEAD.")
    ] = False,
    mlflow: Annotated[
        str | None,
        typer.Option(metavar="QUERY", help="Compare the MLflow runs of a query instead: \"params.method = 'gcl'\"."),
    ] = None,
    experiment: Annotated[
        str | None, typer.Option(help="With --mlflow: only this MLflow experiment, that is, data set.")
    ] = None,
    params_file: ParamsFile = PARAMS,
):
    """Compare all DVC experiments in reports/sweep.md: by setting, over seeds, paired with a baseline."""
    if experiment is not None and mlflow is None:
        raise UserError("--experiment chooses among MLflow runs: add --mlflow QUERY")
    if all_commits and mlflow is not None:
        raise UserError("--all-commits is about DVC experiments and --mlflow about MLflow runs; leave one of them out")
    from pipeline.sweeps.sweep import sweep

    if mlflow is None:
        from pipeline.sweeps.dvc_experiments import find_experiments
    else:
        from pipeline.sweeps.mlflow_runs import find_runs

    stop_cleanly()
    with only_writer(REPORTS / "sweep.md"):
        found = find_experiments(all_commits) if mlflow is None else find_runs(mlflow, experiment)
        sweep(found, params_file, baseline or [], metric or [], REPORTS)
