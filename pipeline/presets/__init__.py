"""The published setting, and the command that writes it into params.yaml."""
