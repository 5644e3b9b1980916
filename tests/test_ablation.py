"""The ablation in a real DVC repository: what reruns and what does not, seeds, interruptions, and its MLflow runs."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from gcl.errors import UserError
from pipeline.params import parse_params
from pipeline.running.devices import make_fabric
from pipeline.stages.ablate import _fingerprint, run_ablation
from pipeline.variant_params import variant_of, with_seed
from tests.project import run, runs_in


@pytest.fixture
def turn(project):
    """Changes values in params.yaml, returns the stages that DVC would then run, and finally restores everything."""

    def to(*changes: str) -> set[str]:
        file = project / "params.yaml"
        params = YAML().load(file)
        for change in changes:
            key, value = change.split("=")
            *sections, name = key.split(".")
            section = params
            for part in sections:
                section = section[part]
            section[name] = YAML(typ="safe").load(value)
        YAML().dump(params, file)
        run("dvc repro variants", project)
        told = run("dvc repro --dry", project)
        return {line.split("'")[1] for line in told.splitlines() if line.startswith("Running stage")}

    yield to
    run("git checkout -q . && dvc checkout -q", project)


def test_turning_what_a_variant_fixes_itself_does_not_rerun_it(turn):
    will_run = turn("graph.pooling=false")
    assert "train" in will_run and "ablate@no_pooling" not in will_run


def test_turning_what_every_variant_reads_reruns_every_one(turn):
    """CUT has no graph, so no value of the graph concerns it."""
    will_run = turn("graph.hops=1")
    assert {"train", "ablate@no_pooling"} <= will_run and "ablate@cut" not in will_run
    assert {"ablate@no_pooling", "ablate@cut"} <= turn("train.steps=5")


def test_turning_a_number_of_cut_reruns_cut_alone(turn):
    assert {stage for stage in turn("cut.patches=8") if "@" in stage} == {"ablate@cut"}


def test_a_new_line_is_a_new_stage_run_and_row(project, turn):
    will_run = turn("ablate.variants.one_hop={hops: 1}")
    assert {stage for stage in will_run if "@" in stage} == {"ablate@one_hop"}
    run("dvc repro compare", project)
    assert "| `one_hop`<br>hops: 1 |" in (project / "reports/ablation.md").read_text()
    _, runs = runs_in(project)
    (one_hop,) = [entry for entry in runs if entry.data.tags["variant"] == "one_hop"]
    assert one_hop.data.params["graph.hops"] == "1" and "fid_small" in one_hop.data.metrics


def test_variants_are_runs_like_the_main_one(project):
    """They have the same metrics, parameters, tags and grids at the same steps, which MLflow needs to compare them."""
    client, runs = runs_in(project)
    first = {entry.data.tags["variant"]: entry for entry in runs}  # the runs go from the newest to the oldest
    main, no_pooling, cut = (first[name] for name in ("main", "no_pooling", "cut"))
    assert set(main.data.metrics) == set(no_pooling.data.metrics)
    assert set(cut.data.metrics) == set(main.data.metrics) - {"graph_density"}
    assert set(main.data.params) == set(no_pooling.data.params)
    assert no_pooling.data.params["graph.pooling"] == "False" and cut.data.params["method"] == "cut"
    assert not any(key.startswith("graph.") for key in cut.data.params)
    for entry in (main, no_pooling, cut):
        assert {"variant", "seed", "git.commit", "data.hash"} <= entry.data.tags.keys()
        grids = {file.path.split("+")[2] for file in client.list_artifacts(entry.info.run_id, "images")}
        assert grids == {"2", "4"}


def test_variants_are_paired_with_the_main_run(project):
    """Generators start with the same weights and see the same images, so a variant that changes nothing is equal."""
    params = YAML().load(project / "params.yaml")
    params["ablate"]["variants"]["twin"] = {"pooling": True}
    YAML().dump(params, project / "data/twin.yaml")
    run("python -m pipeline ablate twin --params data/twin.yaml --ablations data/other", project)
    twin = project / "data/other/twin/seed_0"
    assert (twin / "curves.csv").read_bytes() == (project / "reports/curves.csv").read_bytes()
    assert (twin / "metrics.json").read_bytes() == (project / "reports/metrics.json").read_bytes()


def test_the_page_shows_every_variant(project):
    assert len(list((project / "reports/ablation").glob("*.png"))) == 2
    text = (project / "reports/ablation.md").read_text()
    for word in ("main", "no_pooling", "cut", "untranslated A", "real B", "fid_small", "One seed"):
        assert word in text


def test_a_killed_ablation_keeps_the_seeds_that_are_finished(project, tmp_path):
    params = YAML().load(project / "params.yaml")
    params["ablate"]["seeds"] = 2
    YAML().dump(params, tmp_path / "params.yaml")
    command = f"-m pipeline ablate no_pooling --params {tmp_path}/params.yaml --ablations {tmp_path}"
    environment = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db", "DVC_ROOT": str(tmp_path)}
    start = dict(cwd=project, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    killed = subprocess.Popen([sys.executable, *command.split()], **start)
    first, second = (tmp_path / "no_pooling" / name for name in ("seed_0", "seed_1"))
    while not Path(f"{second}.partial").exists():
        assert killed.poll() is None
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    finished = {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in first.rglob("*") if file.is_file()}
    assert "metrics.json" in {file.name for file in finished} and not second.exists()

    (tmp_path / "no_pooling/seed_9").mkdir()  # from a time when there were more
    again = subprocess.run([sys.executable, *command.split()], check=True, **start)
    assert "no_pooling, seed 0: finished before" in again.stdout
    assert {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in finished} == finished
    assert json.loads((second / "model/model.json").read_text())["train"]["seed"] == 1
    assert sorted(path.name for path in (tmp_path / "no_pooling").iterdir()) == ["seed_0", "seed_1"]


def test_a_seed_is_finished_for_its_own_settings_and_data_only(settings):
    params = parse_params(settings, "params.yaml")
    settings["graph"]["hops"] = 1
    turned = parse_params(settings, "params.yaml")
    several = {_fingerprint(which, data) for which in (params, turned, with_seed(params, 1)) for data in ("a", "b")}
    assert len(several) == 6
    # A parameter that it does not read changes nothing.
    assert _fingerprint(variant_of(params, "cut"), "a") == _fingerprint(variant_of(turned, "cut"), "a")


def test_an_unknown_variant_is_told(settings, tmp_path):
    params = parse_params(settings, "params.yaml")
    with pytest.raises(UserError, match=r"no variant no_poling in ablate.variants .* no_pooling"):
        run_ablation(make_fabric(params.train), params, "no_poling", tmp_path, tmp_path, tmp_path)
