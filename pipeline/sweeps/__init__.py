"""Comparison of many runs: DVC experiments or MLflow runs, grouped by their parameters, over seeds."""
