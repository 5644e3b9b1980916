"""One module for each stage in dvc.yaml."""
