"""What every stage runs on: devices and processes, signals, resuming, and the folders of a run."""
