"""Trainings of the tiny configuration by the command line, in this process."""

import json
import sys
from pathlib import Path

import pandas as pd
import pytest
from mlflow import MlflowClient
from ruamel.yaml import YAML
from safetensors.torch import load_file
from torch import Tensor

from pipeline.cli import main
from pipeline.params import read_mapping
from tests.project import ROOT, TINY


class Project:
    """A folder with params.yaml in which commands are run; ``monkeypatch`` is pytest's."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch):
        self.folder, self._monkeypatch = folder, monkeypatch
        self.store = f"sqlite:///{folder.parent / 'mlflow.db'}"
        folder.mkdir(exist_ok=True)

    def set(self, **changes: dict) -> "Project":
        """Writes params.yaml: the tiny configuration with these ``changes`` of its sections."""
        params = read_mapping(ROOT / "params.yaml")
        for source in (TINY, changes):
            for section, values in source.items():
                params[section].update(values)
        YAML(typ="safe").dump(params, self.folder / "params.yaml")
        return self

    def run(self, *arguments: str) -> None:
        """Runs a command in the folder, as `gcl` would; SystemExit if it fails."""
        self._monkeypatch.chdir(self.folder)
        self._monkeypatch.setenv("MLFLOW_TRACKING_URI", self.store)
        self._monkeypatch.setattr(sys, "argv", ["gcl", *arguments])
        try:
            main()
        except SystemExit as ended:
            if ended.code:
                raise

    def train(self, **changes: dict) -> "Project":
        """Prepares the data, unless they are there, and trains with these ``changes``."""
        self.set(**changes)
        if not (self.folder / "data/prepared").exists():
            self.run("prepare")
        self.run("train")
        return self

    @property
    def model(self) -> Path:
        return self.folder / "data/model"

    @property
    def description(self) -> dict:
        return json.loads((self.model / "model.json").read_text())

    @property
    def run_id(self) -> str:
        return json.loads((self.folder / "data/run.json").read_text())["run_id"]

    def logged(self, metric: str) -> list[int]:
        """The steps of a metric of the last training's MLflow run."""
        return [point.step for point in self.client.get_metric_history(self.run_id, metric)]

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(self.store)

    @property
    def curves(self) -> pd.DataFrame:
        return pd.read_csv(self.folder / "reports/curves.csv")

    def weights(self, network: str) -> dict[str, Tensor]:
        return load_file(self.model / f"{network}.safetensors")

    def results(self) -> dict[str, bytes]:
        """The bytes of the weights, curves and grids."""
        files = [*self.model.glob("*.safetensors"), *(self.folder / "reports").rglob("*.*")]
        return {str(file.relative_to(self.folder)): file.read_bytes() for file in files}
