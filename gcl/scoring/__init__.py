"""Scores of any tool's translations: the project's metrics of plain folders, without a prepared data set."""
