"""A real DVC repository with a real MLflow store, on a tiny configuration, for the tests of the whole experiment."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parent.parent

TINY = {
    "data": {"scenes_train": 6, "scenes_test": 4, "scenes_validation": 3},
    "graph": {"patches": 16, "embedding": 8},
    "cut": {"layers": [0, 4], "patches": 16, "embedding": 8},
    "generator": {"channels": 4, "blocks": 1},
    "discriminator": {"channels": 4},
    "train": {
        "steps": 4,
        "log_every": 2,
        "sample_every": 2,
        "sample_images": 2,
        "average_decay": 0.5,
        "validate_every": 2,
    },
    "ablate": {"variants": {"main": {}, "no_pooling": {"pooling": False}, "cut": {"method": "cut"}}},
}


def run(command: str, folder: Path, check: bool = True, **environment: str) -> str:
    """Runs ``command`` in ``folder`` with this Python first on the PATH; returns the output of both streams."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("DVC_", "MLFLOW_", "GIT_"))}
    result = subprocess.run(
        command,
        shell=True,
        cwd=folder,
        env={**kept, "PATH": path, **environment},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    assert result.returncode == 0 or not check, result.stdout
    return result.stdout


def runs_in(folder: Path):
    """The client of the project's MLflow store, and all runs of its only experiment."""
    # Imported here because it takes seconds, for which most tests need not wait.
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    return client, client.search_runs([client.get_experiment_by_name("scenes").experiment_id])


@pytest.fixture(scope="session")
def project(tmp_path_factory) -> Path:
    """A clone of the project's files with a tiny configuration, reproduced once."""
    folder = tmp_path_factory.mktemp("repository") / "project"
    names = subprocess.check_output(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, text=True).splitlines()
    for name in names:
        if name.startswith(("reports/", "dvc.lock")) or not (ROOT / name).is_file():
            continue
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    yaml = YAML()
    params = yaml.load(folder / "params.yaml")
    for section, values in TINY.items():
        params[section].update(values)
    yaml.dump(params, folder / "params.yaml")
    run("git init -q && git config user.email a@b.c && git config user.name me", folder)
    run("git add -A && git commit -qm start", folder)
    run("dvc repro", folder)
    run("git add -A && git commit -qm reproduced", folder)
    return folder
