"""The experiment around the gcl core: one typer command per stage, MLflow tracking, and the reports."""
