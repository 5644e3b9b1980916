"""How good a translation is: the metrics, the networks behind them, their statistics and the verdict."""
