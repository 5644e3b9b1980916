"""How made-up runs are grouped by setting and paired with the baseline, and which metrics dvc.lock vouches for."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import ttest_rel

from gcl.config import Params
from gcl.errors import UserError
from gcl.measures.metrics import STRIPES
from pipeline.sweeps.differences import paired_difference
from pipeline.sweeps.dvc_lock import Lock
from pipeline.sweeps.metric_rows import metric_row
from pipeline.sweeps.runs import PATHS, Run, read_by_run
from pipeline.sweeps.settings import group


def made(seed=0, value=1.0, name="run", origin=None, **params):
    flat = {key.replace("__", "."): setting for key, setting in params.items()}
    return Run(name, seed, flat, {"fid": value}, {}, origin or {}, {})


def labels(sweep):
    return [setting.label for setting in sweep.settings]


def test_differences_are_those_of_the_paired_t_test():
    random = np.random.default_rng(0)
    values, baseline = (dict(enumerate(random.random(5))) for _ in range(2))
    difference = paired_difference(values, {**baseline, 9: 100.0})
    low, high = ttest_rel(list(values.values()), list(baseline.values())).confidence_interval(0.95)
    assert difference.pairs == 5 and difference.interval == pytest.approx((low, high))
    assert difference.mean == pytest.approx(np.mean(list(values.values())) - np.mean(list(baseline.values())))


def test_one_pair_has_no_interval_and_no_pair_no_difference():
    assert paired_difference({0: 3.0, 1: 9.0}, {0: 1.0, 2: 5.0}) == (1, 2.0, None)
    assert paired_difference({0: 3.0}, {1: 1.0}) is None
    assert paired_difference({0: 3.0, 1: 4.0}, {0: 1.0, 1: 2.0}) == (2, 2.0, (2.0, 2.0))


def test_equal_values_are_one_setting_however_they_are_written():
    runs = [
        made(0, graph__weight=1, graph__level_weights=[1.0, 0.5]),
        made(1, graph__weight=1.0, graph__level_weights=[1, 0.5]),
        made(0, graph__weight=1, graph__level_weights=[0.5, 1]),
        made(0, graph__weight=True, graph__level_weights=[0.5, 1]),
    ]
    sweep = group(runs, {}, [])
    assert sorted(len(setting.runs) for setting in sweep.settings) == [1, 1, 2]


def test_settings_are_ordered_by_size_after_the_baseline():
    runs = [made(graph__hops=hops) for hops in (10, 2, 3, 1)]
    assert labels(group(runs, {"graph.hops": 3}, [])) == [f"graph.hops={hops}" for hops in (3, 1, 2, 10)]
    assert labels(group(runs, {"graph.hops": 3}, ["graph.hops=10"]))[0] == "graph.hops=10"
    assert group(runs, {"graph.hops": 4}, []).baselines == []


def test_parameters_of_another_method_do_not_tell_runs_apart():
    flat = {"method": "cut", "graph.hops": 2, "cut.weight": 1, "encoder.name": "small", "ablate.seeds": 5}
    assert read_by_run(flat) == {"method": "cut", "cut.weight": 1}
    assert read_by_run({**flat, "method": "gcl"}).keys() == {"method", "graph.hops", "encoder.name"}
    runs = [made(method="cut", cut__weight=1), made(method="gcl", graph__hops=2)]
    assert group(runs, {}, []).varied == ["method"]


def test_paths_of_several_machines_are_one_setting():
    """params.yaml has the path as it is written, and stages that DVC runs log it below the root of the repository."""
    places = ("data/horses", "/home/me/project/data/horses", "../horses/", "data/zebras")
    runs = [
        made(seed, **read_by_run({"data.path": place, "encoder.weights": None, "train.start_from": "a/model"}))
        for seed, place in enumerate(places)
    ]
    sweep = group(runs, {"data.path": "/mnt/horses", "train.start_from": "b/model"}, [])
    assert labels(sweep) == ["data.path=horses", "data.path=zebras"]
    assert [[run.seed for run in setting.runs] for setting in sweep.settings] == [[0, 1, 2], [3]]
    assert sweep.baselines == sweep.settings[:1]


def test_every_path_among_the_parameters_is_known():
    paths = {
        f"{name}.{key}"
        for name, section in Params.model_fields.items()
        if name != "method"
        for key, schema in section.annotation.model_json_schema()["properties"].items()
        if "'format': 'path'" in str(schema)
    }
    assert paths == set(PATHS)


def test_a_baseline_of_another_method_is_found():
    runs = [made(method="gcl", graph__hops=hops) for hops in (1, 2)] + [made(method="cut", value=3.0)]
    present = {"method": "gcl", "graph.hops": 2, "cut.weight": 1}
    assert [setting.label for setting in group(runs, present, []).baselines] == ["graph.hops=2, method=gcl"]
    assert [setting.label for setting in group(runs, present, ["method=cut"]).baselines] == ["method=cut"]


def test_of_two_runs_of_one_seed_the_newer_counts():
    runs = [made(0, 1.0, "new", graph__hops=1), made(0, 2.0, "old", graph__hops=1), made(0, graph__hops=2)]
    sweep = group(runs, {}, [])
    assert sweep.settings[0].by_seed("fid") == {0: 1.0}
    assert sweep.left_out == [("old", "the same parameters and seed as `new`, but other metrics")]


def test_settings_are_compared_only_with_the_baseline_of_the_same_origin():
    runs = [
        made(0, value, origin={"commit": commit}, graph__hops=hops)
        for commit, hops, value in (("a", 1, 1.0), ("a", 2, 2.0), ("b", 1, 5.0), ("b", 2, 7.0), ("c", 2, 9.0))
    ]
    sweep = group(runs, {"graph.hops": 1}, [])
    found = {setting.label: sweep.difference(setting, "fid") for setting in sweep.settings}
    assert {label: difference and difference.mean for label, difference in found.items()} == {
        "graph.hops=1, commit=a": None,
        "graph.hops=1, commit=b": None,
        "graph.hops=2, commit=a": 1.0,
        "graph.hops=2, commit=b": 2.0,
        "graph.hops=2, commit=c": None,
    }


@pytest.mark.parametrize(
    "of_runs, told",
    [
        ([{"data__direction": "AtoB"}, {}], STRIPES),  # earlier versions did not have a direction
        ([{"data__direction": "BtoA"}], None),
        ([{}, {"data__direction": "BtoA"}], None),
        ([{}, {"data__source": "folder"}], None),
    ],
)
def test_a_metric_misleads_where_it_does_for_all_runs(of_runs, told):
    values = {"psnr_to_truth": 9.0, "fid": 1.0}
    runs = [replace(made(**{"data__source": "scenes", **params}), metrics=values) for params in of_runs]
    assert metric_row("psnr_to_truth", runs)["misleads"] == told
    assert metric_row("fid", runs)["misleads"] is None


def test_seeds_alone_are_nothing_to_compare():
    with pytest.raises(UserError, match=r"all 2 finished runs have the same parameters but for train\.seed"):
        group([made(0, graph__hops=1), made(1, graph__hops=1)], {}, [])


@pytest.mark.parametrize(
    "change, message",
    [
        ("graph.hops=3", "no run has graph.hops=3; there are: graph.hops=1; graph.hops=2"),
        ("graph.pooling=true", "expected KEY=VALUE, with one of these keys: graph.hops"),
        ("graph.hops", "expected KEY=VALUE"),
        ("graph.hops=[1", "not valid YAML"),
    ],
)
def test_a_baseline_that_no_run_has_is_named(change, message):
    with pytest.raises(UserError, match="--baseline") as error:
        group([made(graph__hops=1), made(graph__hops=2)], {"graph.hops": 1}, [change])
    assert message in str(error.value)


LOCK = """
stages:
  train:
    deps: [{path: gcl/training, md5: c0de}]
    params: {params.yaml: {graph: {hops: 2}, train.seed: 0}}
    outs: [{path: data/model, md5: aaaa}]
  evaluate:
    deps: [{path: data/prepared, md5: da7a}, {path: data/model, md5: aaaa}]
  compare:
    params: {params.yaml: {ablate.seeds: 5}}
"""


@pytest.mark.parametrize(
    "old, new, reason",
    [
        ("", "", None),
        ("ablate.seeds: 5", "ablate.seeds: 6", None),  # does not lead to the metrics
        ("hops: 2", "hops: 3", "`train` ran with another value of `graph.hops`"),
        ("model, md5: aaaa}]\n  evaluate", "model, md5: bbbb}]\n  evaluate", "`train` ran again after `evaluate`"),
        ("  evaluate:", "  evaluate_other:", "`evaluate` has never run"),
        ("stages:", "stages: [", "damaged"),
    ],
)
def test_metrics_count_if_the_lock_has_the_same_parameters_and_models(tmp_path, monkeypatch, old, new, reason):
    monkeypatch.chdir(tmp_path)
    assert "no `dvc.lock`" in Lock(None).why_not_made_with({})
    changed = LOCK.replace(old, new) if old else LOCK
    assert (changed == LOCK) == (not old)
    (tmp_path / "dvc.lock").write_text(changed)
    lock = Lock(None)
    told = lock.why_not_made_with({"graph.hops": 2, "train.seed": 0, "ablate.seeds": 5})
    if reason is None:
        assert told is None and lock.data == "da7a" and lock.code == {"gcl/training": "c0de"}
    else:
        assert reason in told
