"""Runs are named after what sets them apart, in a real git repository."""

import shutil
from pathlib import Path

import pytest

from gcl.config import MAIN
from pipeline.params import parse_params
from pipeline.tracking.run_names import run_name
from pipeline.variant_params import variant_of
from tests.project import ROOT, run


@pytest.fixture
def committed(tmp_path, monkeypatch):
    """A git repository to which the project's params.yaml is committed."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    run("git init -q && git config user.email a@b.c && git config user.name me", tmp_path)
    run("git add -A && git commit -qm start", tmp_path)
    monkeypatch.chdir(tmp_path)
    for name in ("DVC_EXP_NAME", "DVC_EXP_BASELINE_REV", "DVC_ROOT"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.mark.parametrize(
    "changes, variant, name",
    [
        ({}, MAIN, "main, seed 0"),
        ({}, "no_pooling", "no_pooling, seed 0"),
        ({"train": {"seed": 3}}, MAIN, "main, seed 3"),
        ({"graph": {"pooling": False}}, MAIN, "graph.pooling=false, seed 0"),
        ({"graph": {"pooling": False, "hops": 1}}, "no_edges", "no_edges, graph.hops=1, graph.pooling=false, seed 0"),
        ({"graph": {"pooling": False}}, "no_pooling", "no_pooling, seed 0"),
        ({"graph": {"hops": 1}}, "cut", "cut, seed 0"),
        ({"method": "cut"}, MAIN, "method=cut, seed 0"),
        ({"ablate": {"seeds": 2}}, MAIN, "main, seed 0"),
        (
            {"data": {"path": "photographs", "source": "folder"}},
            MAIN,
            "data.source=folder, data.path=photographs, seed 0",
        ),
        (
            {"generator": {"channels": 8, "blocks": 1}, "train": {"steps": 5, "flip": False, "seed": 1}},
            MAIN,
            "generator.channels=8, generator.blocks=1, train.steps=5, 1 more, seed 1",
        ),
    ],
)
def test_a_name_says_what_differs_from_the_commit(committed, settings, changes, variant, name):
    for section, values in changes.items():
        settings[section] = settings[section] | values if isinstance(values, dict) else values
    params = parse_params(settings, Path("params.yaml"))
    assert run_name(params if variant == MAIN else variant_of(params, variant), variant) == name


def test_an_experiment_is_named_with_what_differs_from_its_baseline(committed, settings, monkeypatch):
    baseline = run("git rev-parse HEAD", committed).strip()
    file = committed / "params.yaml"
    file.write_text(file.read_text().replace("hops: 2", "hops: 1"))
    run("git commit -qam turned", committed)
    settings["graph"]["hops"] = 1
    params = parse_params(settings, Path("params.yaml"))
    assert run_name(params, MAIN) == "main, seed 0"
    monkeypatch.setenv("DVC_EXP_NAME", "gouty-boss")
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", baseline)
    assert run_name(params, MAIN) == "graph.hops=1, seed 0 (gouty-boss)"


@pytest.mark.parametrize("break_it", ["rm -rf .git", "echo 'data: {size: 64}' > params.yaml; git commit -qam old"])
def test_without_a_readable_baseline_a_run_is_named_all_the_same(committed, settings, break_it):
    run(break_it, committed)
    settings["graph"]["hops"] = 1
    assert run_name(parse_params(settings, Path("params.yaml")), MAIN) == "main, seed 0"
