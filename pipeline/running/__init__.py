"""How stages run: devices and processes, signals, resuming, and the folders of a run."""
