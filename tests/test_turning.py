"""Turning any number makes DVC run the stages that read it again, past its cache of earlier runs too."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from dvc.repo import Repo
from dvc.stage.cache import RunCacheNotFoundError
from PIL import Image
from ruamel.yaml import YAML

from gcl.errors import UserError
from pipeline.params import flatten, parse_params, read_mapping
from tests.project import ROOT, run

KEYS = [*flatten(read_mapping(ROOT / "params.yaml") | {"ablate": {"seeds": 1}}), "ablate.variants"]


def turned(value: Any) -> Any:
    """Another value of the same kind."""
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case Mapping():
            return {**value, "another": {}}
        case list():
            return value[1:]
        case _:
            return "another"


@pytest.fixture
def turn(project, monkeypatch):
    """turn(key, change) writes params.yaml with that key changed, turned(value) by default; it is put back after."""
    # DVC's cache of runs goes by it.
    monkeypatch.chdir(project)
    file = project / "params.yaml"
    before = file.read_bytes()

    def write(key: str, change=turned) -> None:
        yaml = YAML()
        params = yaml.load(before)
        *sections, name = key.split(".")
        place = params
        for section in sections:
            place = place[section]
        place[name] = change(place[name])
        yaml.dump(params, file)

    yield write
    file.write_bytes(before)


def readers(key: str) -> set[str]:
    """The stages that name the key, or a section that it is in, in dvc.yaml."""
    stages = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
    return {
        name
        for name, stage in stages.items()
        for param in stage.get("do", stage).get("params", [])
        if key == param or key.startswith(f"{param}.")
    }


def run_again(folder: Path) -> set[str]:
    """The stages with parameters that `dvc repro` would run: changed, and in no cache of earlier runs."""
    with Repo(str(folder)) as repo:
        return {stage.name for stage in repo.index.stages if stage.params and _runs(repo, stage)}


def _runs(repo: Repo, stage) -> bool:
    if not stage.changed_stage() and not any(dependency.changed_checksum() for dependency in stage.params):
        return False
    try:
        # What is found there takes the place of the outputs: only where the test has failed already.
        repo.stage_cache.restore(stage)
    except RunCacheNotFoundError:
        return True
    return False


def test_without_a_change_nothing_runs_again(project):
    assert run_again(project) == set()


@pytest.mark.parametrize("key", KEYS)
def test_turning_a_key_runs_the_stages_that_read_it(project, turn, key):
    assert readers(key)
    turn(key)
    assert run_again(project) == readers(key)


def test_turning_the_image_size_gives_images_of_that_size(project, turn):
    turn("data.image_size", lambda _: 96)
    try:
        told = run("dvc repro prepare", project)
        assert "cached" not in told
        manifest = json.loads((project / "data/prepared/manifest.json").read_text())
        name = manifest["splits"]["testA"][0]["name"]
        assert Image.open(project / "data/prepared/testA" / name).size == (96, 96)
    finally:
        run("git checkout -q . && dvc checkout -q", project)


@pytest.mark.parametrize("name", ["size", "nfiles"])
def test_variants_may_not_have_names_that_dvc_leaves_out(settings, name):
    settings["ablate"]["variants"][name] = {"hops": 1}
    with pytest.raises(UserError, match=rf"ablate\.variants\.{name}: DVC"):
        parse_params(settings, Path("params.yaml"))
