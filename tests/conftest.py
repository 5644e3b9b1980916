"""Fixtures for all tests: small data sets and parameters."""

import os
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from xdist.scheduler import LoadFileScheduling

from pipeline.cli import main
from pipeline.params import parse_params, read_mapping
from tests.project import ROOT, project

__all__ = ["ROOT", "project"]

# The command line sets this too; it has to be set before any test imports torch.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")
# Threads that wait for each other over small images only slow a busy machine down.
os.environ.setdefault("OMP_NUM_THREADS", "1")


class OneProject(LoadFileScheduling):
    """Gives whole test files to the parallel processes, all files that need the reproduced project to the same one."""

    def _split_scope(self, nodeid: str) -> str:
        file = Path(nodeid.split("::")[0]).stem
        shares = ("test_ablation", "test_out_of_date", "test_pipeline", "test_sharing", "test_turning")
        return "project" if file in shares else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> OneProject:
    """Decides how ``pytest --numprocesses 2`` shares out the tests."""
    return OneProject(config, log)


@pytest.fixture
def settings() -> dict:
    """The project's own params.yaml as nested dictionaries, to change and parse."""
    return read_mapping(ROOT / "params.yaml")


@pytest.fixture
def config(settings):
    """Makes the section ``train`` of a small training: config(steps=3, ...)."""

    def make(**changes):
        small = {"steps": 10, "load_size": 32, "crop_size": 32, "log_every": 5, "average_decay": 0.0}
        settings["train"].update(small | changes)
        return parse_params(settings, "params.yaml").train

    return make


@pytest.fixture
def data_config(settings):
    """Makes the section ``data``, where changes add up: data_config(scenes_train=3, ...)."""

    def make(**changes):
        settings["data"].update(changes)
        return parse_params(settings, "params.yaml").data

    return make


@pytest.fixture
def save_images():
    """Writes random RGB images: save_images(folder, count, size=(width, height), suffix)."""

    def save(folder: Path, count: int, size: tuple[int, int] = (80, 64), suffix: str = ".png") -> None:
        folder.mkdir(parents=True)
        random = np.random.default_rng(zlib.crc32(folder.name.encode()))
        for index in range(count):
            pixels = random.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"image_{index}{suffix}")

    return save


@pytest.fixture
def ended(monkeypatch, capsys):
    """Runs a command in this process: ended("check", ...) returns its status and what it wrote to both streams."""

    def run(*arguments: str):
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["gcl", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code or 0, capsys.readouterr()

    return run


@pytest.fixture
def failure(ended):
    """Runs a command that has to fail, in this process: failure("train", ...) returns its only line."""

    def run(*arguments: str) -> str:
        status, written = ended(*arguments)
        assert status == 1
        (line,) = written.err.splitlines()
        return line

    return run
