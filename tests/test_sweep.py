"""`gcl sweep` on a real DVC repository with a trivial stage, and on a real MLflow store."""

import random
import shutil
from io import StringIO

import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric, Param
from scipy.stats import ttest_rel
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.sweeps.dvc_experiments import find_experiments
from tests.project import run
from tests.stores import empty_store

PARAMS = "data: {source: scenes}\ngraph: {hops: 2, level_weights: [1.0, 0.5]}\nablate: {seeds: 1}\ntrain: {seed: 0}\n"

STAGE = """
import json, random
from ruamel.yaml import YAML

params = YAML(typ="safe").load(open("params.yaml"))
hops, seed = params["graph"]["hops"], params["train"]["seed"]
assert hops < 9
drawn = random.Random(10 * hops + seed)
json.dump({"fid_small": hops + drawn.random(), "iou_mean": drawn.random()}, open("reports/metrics.json", "w"))
json.dump({"untranslated": {"fid_small": 9.0, "iou_mean": -1.0}}, open("reports/yardsticks.json", "w"))
"""

STAGES = """
stages:
  evaluate:
    cmd: python pipeline/stage.py
    deps: [pipeline/stage.py]
    params: [data, graph, train]
    metrics:
      - reports/metrics.json: {cache: false}
      - reports/yardsticks.json: {cache: false}
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """Two settings with two seeds, one of them HEAD's own; an experiment that failed, and one that is queued."""
    folder = tmp_path_factory.mktemp("repository")
    for name, content in {"params.yaml": PARAMS, "dvc.yaml": STAGES, "pipeline/stage.py": STAGE}.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content)
    (folder / "reports").mkdir()
    run("git init -qb main && git config user.email a@b.c && git config user.name me", folder)
    run("dvc init -q && dvc config core.analytics false && dvc repro -q", folder)
    run("git add -A && git commit -qm start", folder)
    run("dvc exp run --queue -S graph.hops=1,2 -S train.seed=0,1", folder)
    run("dvc exp run --queue -S graph.hops=9 -n broken", folder)
    run("dvc exp run --run-all", folder, check=False)
    run("dvc exp run --queue -S graph.hops=3 -n waiting", folder)
    return folder


@pytest.fixture
def project(repository, monkeypatch):
    monkeypatch.chdir(repository)
    yield repository
    run("git checkout -q . && git clean -qfd reports", repository)


def sweep(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["sweep", *arguments])
    assert result.exception is None, result.output
    return result.output


def cells(page: str) -> dict[str, list[str]]:
    """The cells of each row of the table of results, by its first cell."""
    rows = [line.strip("| ").split(" | ") for line in page.split("## Results")[1].splitlines() if line[:1] == "|"]
    return {row[0].strip("`"): row[1:] for row in rows[2:]}


def test_means_and_paired_differences_are_those_of_pandas_and_scipy(project):
    assert "4 runs in 2 settings, 3 left out" in sweep()
    table = pd.read_csv("reports/sweep.csv")
    assert list(table.columns) == ["name", "seed", "graph.hops", "fid_small", "iou_mean"]
    assert table[["graph.hops", "seed"]].values.tolist() == [[2, 0], [2, 1], [1, 0], [1, 1]]
    rows = cells((project / "reports/sweep.md").read_text())
    assert list(rows)[:2] == ["2", "1"] and rows["2"][0] == "0, 1 (baseline)" and rows["1"][0] == "0, 1"
    for place, metric in enumerate(["fid_small", "iou_mean"], start=1):
        groups = table.groupby("graph.hops")[metric]
        means, spreads = groups.mean(), groups.std(ddof=1)
        assert rows["2"][place] == f"{means[2]:.4g} ± {spreads[2]:.3g}"
        test = ttest_rel(*(table[table["graph.hops"] == hops].sort_values("seed")[metric] for hops in (1, 2)))
        low, high = test.confidence_interval(0.95)
        difference = f"{means[1] - means[2]:+.3g} [{low:+.3g}, {high:+.3g}]"
        assert rows["1"][place] == f"{means[1]:.4g} ± {spreads[1]:.3g}<br>{difference}"


def test_what_failed_waits_or_repeats_is_listed(project):
    sweep()
    left_out = (project / "reports/sweep.md").read_text().split("## Left out")[1]
    assert "| `broken` | failed: `dvc queue logs broken` says why |" in left_out
    assert "| `waiting` | still queued: `dvc queue start` runs it |" in left_out
    repeated = [line for line in left_out.splitlines() if "| the same parameters and seed as `" in line]
    assert len(repeated) == 1 and repeated[0].startswith("| `main` |")


def test_the_same_experiments_give_the_same_bytes(project):
    sweep()
    files = sorted(path for path in (project / "reports").rglob("*") if path.is_file())
    before = {path: path.read_bytes() for path in files}
    sweep()
    assert {path.name for path in files} >= {"sweep.md", "sweep.csv", "metrics.png"}
    assert {path: path.read_bytes() for path in files} == before


def test_another_baseline_and_one_metric(project):
    sweep("--baseline", "graph.hops=1", "--metric", "iou_mean")
    page = (project / "reports/sweep.md").read_text()
    assert "fid_small" not in page and "fid_small" in (project / "reports/sweep.csv").read_text()
    assert next(iter(cells(page))) == "1" and "<br>" in cells(page)["2"][1]


def test_a_working_tree_that_was_changed_since_its_run_is_no_run(project):
    """Its metrics are those of other parameters, which only dvc.lock knows."""
    (project / "params.yaml").write_text(PARAMS.replace("hops: 2", "hops: 7"))
    assert "4 runs in 2 settings" in sweep()
    page = (project / "reports/sweep.md").read_text()
    assert "7" not in cells(page) and "No run has the setting of params.yaml" in page


def test_a_working_tree_with_results_of_its_own_is_a_run(project):
    (project / "params.yaml").write_text(PARAMS.replace("hops: 2", "hops: 5"))
    (project / "pipeline/stage.py").write_text(f"{STAGE}# changed")
    run("dvc repro -q", project)
    assert "5 runs in 3 settings" in sweep()
    page = (project / "reports/sweep.md").read_text()
    assert cells(page)["5"][0] == "0 (baseline)" and cells(page)["1"][1].endswith("(1 pair)")
    assert "The code of these runs may differ: `pipeline/stage.py` is" in page


def test_a_commit_with_other_parameters_than_its_metrics_is_left_out_with_the_reason(project):
    (project / "params.yaml").write_text(PARAMS.replace("hops: 2", "hops: 7"))
    run("git commit -qam unrun", project)
    found = find_experiments(all_commits=False)
    run("git reset -q --hard HEAD~1", project)
    reason = "by its `dvc.lock`, `evaluate` ran with another value of `graph.hops`"
    assert found.runs == [] and found.left_out == [("main", reason)]


def test_results_of_changed_code_replace_those_of_the_same_parameters(project):
    (project / "pipeline/stage.py").write_text(STAGE.replace('"fid_small": hops', '"fid_small": 5 + hops'))
    run("dvc repro -q", project)
    assert "4 runs in 2 settings, 4 left out" in sweep()
    (here,) = pd.read_csv("reports/sweep.csv").query("name == 'workspace'").to_dict("records")
    assert (here["graph.hops"], here["seed"]) == (2, 0) and here["fid_small"] == 7 + random.Random(20).random()
    page = (project / "reports/sweep.md").read_text()
    assert "| `main` | the same parameters and seed as `workspace`, but other metrics |" in page
    assert "The code of these runs may differ: `pipeline/stage.py` is" in page


def test_experiments_from_other_commits_are_told_and_compared_among_themselves(project, failure):
    run("git commit -q --allow-empty -m next", project)
    assert "nothing to compare: main is the only finished run with metrics" in failure("sweep")
    assert "5 runs in 3 settings" in sweep("--all-commits")
    page, old = (project / "reports/sweep.md").read_text(), run("git rev-parse --short=7 HEAD~1", project).strip()
    run("git reset -q --hard HEAD~1", project)
    assert "Settings that differ in `commit` are not compared" in page and "may differ" not in page
    (compared,) = [line for line in page.splitlines() if line.startswith(f"| `1` | `{old}` | 0, 1 |")]
    assert compared.count("<br>") == 2 and page.count("(baseline)") == 2


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--baseline", "graph.hops=7"], "no run has graph.hops=7; there are: graph.hops=1; graph.hops=2"),
        (["--metric", "fid"], "--metric fid: no run has it; there are: fid_small, iou_mean"),
        (["--experiment", "scenes"], "add --mlflow QUERY"),
        (["--mlflow", "x", "--all-commits"], "leave one of them out"),
    ],
)
def test_mistakes_are_named_and_nothing_is_written(project, failure, arguments, message):
    assert message in failure("sweep", *arguments)
    assert not list((project / "reports").glob("*sweep*"))


def test_no_repository_and_no_commit_are_named(tmp_path, monkeypatch, failure):
    monkeypatch.chdir(tmp_path)
    assert "you are not inside of a DVC repository" in failure("sweep")
    run("git init -q && dvc init -q", tmp_path)
    assert "there is no commit yet" in failure("sweep")
    (tmp_path / "params.yaml").write_text(PARAMS)
    run("git add -A && git -c user.name=me -c user.email=a@b.c commit -qm start", tmp_path)
    assert "nothing to compare: there is no finished run with metrics" in failure("sweep")


# --- MLflow ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A repository without DVC and a store with two settings, as stages log them, and runs that do not count."""
    shutil.copy(empty_store(), tmp_path / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "params.yaml").write_text(f"method: gcl\n{PARAMS}")
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    experiment = client.create_experiment("scenes")

    def log(name, status="FINISHED", data="a" * 64, commit="b" * 40, metrics=None, tags=None, **params):
        tags = {"mlflow.runName": name, "data.hash": data, "git.commit": commit} | (tags or {})
        found = client.create_run(experiment, tags=tags).info.run_id
        logged = [Param(key.replace("__", "."), str(value)) for key, value in params.items()]
        client.log_batch(found, [Metric(key, value, 0, 0) for key, value in (metrics or {}).items()], logged)
        client.set_terminated(found, status)

    for seed in (0, 1, 2):
        for weights in ([1.0, 0.5], [0.5]):
            values = {"fid_small": seed * len(weights) + 1.0, "untranslated.fid_small": 9.0, "contrast": 0.1}
            log(f"{weights}", metrics=values, graph__level_weights=weights, train__seed=seed, method="gcl")
    log("a|b`c", "FAILED", method="gcl")
    log("pictures", metrics={"fid_small": 1.0})
    log("cut", metrics={"fid_small": 5.0}, method="cut", train__seed=0)
    return log


QUERY = "params.method = 'gcl'"


def test_the_runs_of_a_query_are_grouped_with_lists_as_values(store, tmp_path):
    assert "6 runs in 2 settings, 1 left out" in sweep("--mlflow", QUERY, "--experiment", "scenes")
    page = (tmp_path / "reports/sweep.md").read_text()
    rows = cells(page)
    low, high = ttest_rel([1, 2, 3], [1, 3, 5]).confidence_interval(0.95)
    assert rows["[1.0, 0.5]"] == ["0, 1, 2 (baseline)", "3 ± 2"]
    assert rows["[0.5]"] == ["0, 1, 2", f"2 ± 1<br>-1 [{low:+.3g}, {high:+.3g}]"]
    assert r"| ``a\|b`c`` | failed |" in page and "may differ" not in page
    table = pd.read_csv(StringIO((tmp_path / "reports/sweep.csv").read_text()))
    assert list(table.columns) == ["name", "seed", "graph.level_weights", "fid_small"]


def test_all_runs_other_data_and_other_code(store, tmp_path):
    settings = {"graph__level_weights": [0.5], "train__seed": 0, "method": "gcl"}
    store("elsewhere", data="c" * 64, commit="d" * 40, metrics={"fid_small": 1.5}, **settings)
    sweep("--mlflow", "")
    page = (tmp_path / "reports/sweep.md").read_text()
    assert "| `pictures` | no `train.seed`: it is no training of this project |" in page
    assert "The code of these runs may differ: `git.commit` is not" in page
    assert "Settings that differ in `data` are not compared with each other" in page
    (other,) = [line for line in page.splitlines() if line.startswith("| `[0.5]` | `gcl` | `ccccccc` |")]
    assert other.endswith("| 0 | 1.5 |")
    (cut,) = [line for line in page.splitlines() if line.startswith("| - | `cut` |")]
    assert cut.endswith("| 0 | 5<br>+4 (1 pair) |")


def test_a_later_evaluation_counts_with_its_own_parameters(store, tmp_path):
    logged = {"evaluate__batch_size": 50, "graph__hops": 3, "translate__checkpoint": "last"}
    for seed in (0, 1):
        store("same", tags={"evaluate.batch_size": "50"}, metrics={"fid_small": 1.0}, train__seed=seed, **logged)
        store("best", tags={"translate.checkpoint": "best"}, metrics={"fid_small": 2.0}, train__seed=seed, **logged)
    sweep("--mlflow", "params.`graph.hops` = '3'")
    table = pd.read_csv(tmp_path / "reports/sweep.csv")
    assert list(table.columns) == ["name", "seed", "translate.checkpoint", "fid_small"]
    rows = [["best", 0, "best", 2.0], ["best", 1, "best", 2.0], ["same", 0, "last", 1.0], ["same", 1, "last", 1.0]]
    assert sorted(table.values.tolist()) == rows


def test_where_every_setting_is_worse_than_nothing_none_is_compared(store, tmp_path):
    for seed, hops in ((0, 1), (1, 1), (0, 2), (1, 2)):
        values = {"fid_small": 20.0 + seed + hops, "untranslated.fid_small": 9.0}
        store(f"{hops}", metrics=values, graph__hops=hops, train__seed=seed, method="gcl")
    sweep("--mlflow", "params.`graph.hops` != 'x'")
    page = (tmp_path / "reports/sweep.md").read_text()
    assert "**Every setting is worse than doing nothing" in page and "<br>-" not in page and "Student" not in page


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--mlflow", "params.method == 'gcl'"], "mlflow.db, --mlflow"),
        (["--mlflow", QUERY, "--experiment", "zebras"], "there is no experiment zebras; there are: Default, scenes"),
        (["--mlflow", "params.method = 'src'"], "nothing to compare: there is no finished run"),
        (["--mlflow", "params.`graph.level_weights` = '[0.5]'"], "all 3 finished runs have the same parameters"),
    ],
)
def test_mistakes_about_mlflow_are_named(store, failure, tmp_path, arguments, message):
    assert message in failure("sweep", *arguments)
    assert not (tmp_path / "reports").exists()


def test_a_store_that_is_missing_or_damaged_is_named(tmp_path, monkeypatch, failure):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert "mlflow.db: no such file" in failure("sweep", "--mlflow", QUERY) and not list(tmp_path.iterdir())
    (tmp_path / "mlflow.db").write_bytes(b"not a database" * 1000)
    assert "mlflow.db" in failure("sweep", "--mlflow", QUERY)
