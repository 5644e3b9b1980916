"""Measures how good translations are: the metrics, the networks behind them, their statistics and the verdict."""
