"""DVC sees it when a parameter is turned: the stages that read it ask its cache of earlier runs for another run."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from dvc.repo import Repo
from dvc.stage.cache import _get_stage_hash
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
def turn(project):
    """turn(key, change) changes the key in params.yaml, by default to turned(value); it is restored at the end."""
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
    """The stages that name the key, or a section that contains it, in dvc.yaml."""
    stages = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
    return {
        name
        for name, stage in stages.items()
        for param in stage.get("do", stage).get("params", [])
        if key == param or key.startswith(f"{param}.")
    }


@pytest.fixture(scope="module")
def asked_for(project):
    """asked_for() is what DVC asks its cache of earlier runs for, by stage; only stages with parameters count."""
    with Repo(str(project)) as repo:
        stages = {stage.name: stage for stage in repo.index.stages if stage.params}
        for stage in stages.values():
            stage.save_deps()

        def ask() -> dict[str, str]:
            for stage in stages.values():
                for parameters in stage.params:
                    parameters.save()
            return {name: _get_stage_hash(stage) for name, stage in stages.items()}

        yield ask


@pytest.fixture(scope="module")
def before(asked_for):
    """What DVC asked for when the project was reproduced."""
    return asked_for()


@pytest.mark.parametrize("key", KEYS)
def test_turning_a_key_is_seen_by_the_stages_that_read_it(before, turn, asked_for, key):
    assert readers(key)
    turn(key)
    after = asked_for()
    assert {name for name, asked in after.items() if asked != before[name]} == readers(key)


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
