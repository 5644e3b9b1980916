"""Tracking of runs in MLflow, and a journal of what it missed while it could not be reached."""
