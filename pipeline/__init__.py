"""The experiment: a typer command a stage over the gcl core, MLflow tracking, and the report."""
