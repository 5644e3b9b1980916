"""Presets, and the command that writes them into params.yaml."""
