"""`gcl bench` measures what it says: the right convolutions, fair turns, and estimates that add up."""

import json
from collections import Counter
from copy import deepcopy

import pytest
import torch
from ruamel.yaml import YAML
from typer.testing import CliRunner

from gcl.config import MAIN
from gcl.images.prepared import Prepared
from gcl.training.from_params import build_trainer
from pipeline.benchmarks import estimate, evaluation, graph_loss, startup, step, timing, translation
from pipeline.benchmarks.bench import bench
from pipeline.benchmarks.convolutions import bare, record_convolutions
from pipeline.benchmarks.estimate import Costs, image_counts, stage_times, total, without_ablation
from pipeline.benchmarks.graph_loss import Cost, GraphLossCall, Size
from pipeline.benchmarks.settings import published
from pipeline.cli import app
from pipeline.params import parse_params, read_mapping
from pipeline.presets.apply import apply_preset
from pipeline.running.code_that_counts import stages
from pipeline.running.devices import make_fabric
from pipeline.stages.prepare import prepare
from tests.project import TINY

CPU = torch.device("cpu")


@pytest.fixture
def tiny(settings):
    """The parameters of the tests' small project, on images of 32 pixels."""
    changes = deepcopy(TINY)
    changes["data"]["image_size"] = changes["train"]["load_size"] = changes["train"]["crop_size"] = 32
    for section, values in changes.items():
        settings[section].update(values)
    return parse_params(settings, "params.yaml")


def test_feature_maps_have_a_position_for_every_patch():
    call = GraphLossCall("tag", Size(2500, 1), CPU)
    assert [tuple(features.shape[1:]) for features in call.inputs] == [(256, 64, 64), (512, 50, 50), (512, 50, 50)]


def test_a_size_that_would_take_too_long_or_too_much_is_named(monkeypatch):
    monkeypatch.setattr(graph_loss, "free_memory", lambda device: 10 * 2**30)
    measured = Size(64, 1)
    assert Cost(measured, 0.1, 2**20).obstacle(Size(128, 1), CPU) is None
    assert Cost(measured, 1.0, 2**20).obstacle(Size(256, 4), CPU) == "would take about 64 s per call, more than 10 s"
    assert Cost(measured, 0.1, 2**30).obstacle(Size(64, 16), CPU) == (
        "would need about 16 GiB, more than 2.5 GiB, a quarter of what is free"
    )


def test_repeats_take_turns_and_the_median_counts(monkeypatch):
    order, durations = [], iter([9, 9, 1.0, 4.0, 3.0, 6.0, 2.0, 10.0])
    monkeypatch.setattr(timing, "seconds_of", lambda call, device: (call(), next(durations))[1])
    timings = timing.interleaved({name: lambda name=name: order.append(name) for name in "ab"}, CPU, budget=0)
    assert order == ["a", "b"] * 4  # a warm-up and three rounds
    assert timings["a"].read() == {"seconds": 2.0, "fastest": 1.0, "slowest": 3.0, "repeats": 3}
    assert timings["b"].seconds == 6.0
    assert timings["b"].ratio(timings["a"]) == 4.0  # the median of 4, 2 and 5; the ratio of the medians is 3


def test_the_convolutions_of_a_step_are_those_one_can_count(tiny):
    trainer = build_trainer(tiny, make_fabric(tiny.train))
    a, b = torch.rand(2, 1, 3, 32, 32) * 2 - 1
    convolutions = record_convolutions(lambda: trainer.step(a, b))
    # Generator: two ends, two down, a block of two, two up. Discriminator: first, two layers, last; a blur after the
    # first two. Encoder: three blocks of two.
    generator, discriminator, blurs, encoder = 8, 4, 2, 6
    count = Counter(call.backward for call in convolutions)
    assert count[False] == generator + 2 * (discriminator + blurs) + 2 * encoder
    # The backward pass goes through the translations' features, but not through the inputs'.
    assert count[True] == generator + 2 * (discriminator + blurs) + encoder
    # Neither the frozen encoder nor, in the generator's update, the discriminator learns.
    needed = Counter(tuple(call.arguments[-1]) for call in convolutions if call.backward)
    assert needed[True, False, False] == encoder + discriminator + 2 * blurs
    assert needed[False, True, True] == 2  # nothing needs the gradient of images
    bare(convolutions)()


def test_the_estimate_adds_up(settings, tiny):
    two_seeds = parse_params({**settings, "ablate": {**settings["ablate"], "seeds": 2}}, "params.yaml")
    steps = {MAIN: 2.0, "no_pooling": 1.0, "cut": 5.0}
    costs = Costs(start=100.0, prepared_image=0.5, steps=steps, translated_image=0.25, evaluation=3.0)
    counts = {"trainA": 6, "trainB": 5, "testA": 4, "testB": 3}
    rows = stage_times(two_seeds, costs, counts)
    assert {row.stage: row.seconds for row in rows} == {
        "prepare": 100 + 18 * 0.5,
        "train": 100 + 4 * 2.0,
        "translate": 100 + 4 * 0.25,
        "evaluate": 100 + 3.0,
        "report": 100,
        "variants": 100,
        "ablate@main": 100 + 1 * (4 * 2.0 + 1 + 3),
        "ablate@no_pooling": 100 + 2 * (4 * 1.0 + 1 + 3),
        "ablate@cut": 100 + 2 * (4 * 5.0 + 1 + 3),
        "compare": 100,
    }
    assert list(dict.fromkeys(row.stage.split("@")[0] for row in rows)) == list(stages())
    assert total(rows) == sum(row.seconds for row in rows)
    assert [row.stage for row in without_ablation(rows)] == ["prepare", "train", "translate", "evaluate", "report"]
    assert "ablate@main" not in {row.stage for row in stage_times(tiny, costs, counts)}


def test_the_estimate_counts_the_images_that_there_are(settings, tmp_path, save_images):
    for folder, numbers in {"few": (4, 4, 2), "more": (10, 5, 3)}.items():
        for split, number in zip(("trainA", "trainB", "testB"), numbers, strict=True):
            save_images(tmp_path / folder / split, number)
    of = {}
    for folder in ("few", "more"):
        settings["data"] |= {"source": "folder", "path": str(tmp_path / folder), "image_size": None}
        of[folder] = parse_params(settings, "params.yaml")
    counts = {"trainA": 8, "trainB": 5, "testA": 2, "testB": 3}
    assert image_counts(of["more"], Prepared(tmp_path / "prepared")) == counts
    prepare(of["few"].data, tmp_path / "prepared")
    assert image_counts(of["more"], Prepared(tmp_path / "prepared")) == counts


def test_the_published_setting_is_the_preset(tiny):
    setting = published(tiny)
    assert (setting.encoder.name, setting.graph.threshold, setting.train.crop_size) == ("vgg16", 0.1, 256)


@pytest.fixture
def estimated(monkeypatch, tmp_path):
    """Runs `gcl bench --estimate` with few steps and without downloads; returns its JSON and what it printed."""
    monkeypatch.setattr(estimate, "BUDGET", 0.0)
    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", lambda *_, **__: pytest.fail("a download"))
    monkeypatch.chdir(tmp_path)

    def run(contents):
        YAML().dump(contents, tmp_path / "params.yaml")
        result = CliRunner().invoke(app, ["bench", "--estimate", "--output", "times.json"], catch_exceptions=False)
        assert result.exit_code == 0
        return json.loads((tmp_path / "times.json").read_text()), result.stdout

    return run


def test_photographs_that_are_not_there_yet_are_estimated_without_a_network(estimated, settings, tmp_path):
    YAML().dump(settings, tmp_path / "params.yaml")
    apply_preset("photographs", tmp_path / "params.yaml")
    contents = read_mapping(tmp_path / "params.yaml")
    contents["data"]["image_size"] = contents["train"]["load_size"] = contents["train"]["crop_size"] = 32
    contents["encoder"] |= {"name": "timm/resnet10t", "layers": ["stride8", "stride4"]}
    contents["evaluate"]["features"] = "small"
    contents["ablate"]["variants"] = {"no_edges": {"adjacency": "identity"}}
    measured, told = estimated(contents)
    rows = {row["stage"]: row for row in measured["estimate"]}
    unknown = {"seconds": None, "sum": "2200 images: cannot be measured beforehand"}
    assert rows.pop("prepare") == {"stage": "prepare"} | unknown
    assert all(row["seconds"] > 0 for row in rows.values())
    assert 0 < measured["total_without_ablation"] < measured["total"]
    assert "dvc repro report" in told and "assumed are 1000 + 100 per domain" in told


@pytest.fixture
def small_benchmark(monkeypatch, tmp_path, tiny):
    """Runs `gcl bench` with the given arguments at sizes that take no time; returns its JSON."""
    for module in (graph_loss, step, translation, evaluation, startup):
        monkeypatch.setattr(module, "BUDGET", 0.0)
    monkeypatch.setattr(graph_loss, "PATCHES", (16,))
    monkeypatch.setattr(graph_loss, "BATCHES", (1,))
    monkeypatch.setattr(graph_loss, "PUBLISHED", Size(16, 1))
    monkeypatch.setattr(evaluation, "TRAIN", 2)
    monkeypatch.setattr(evaluation, "TEST", 2)
    monkeypatch.setattr(startup, "stages", lambda: ("variants",))
    monkeypatch.setattr("pipeline.benchmarks.bench.published", lambda params: params)
    monkeypatch.setattr("pipeline.benchmarks.graph_loss.in_new_process", lambda function: function())
    params = tmp_path / "params.yaml"
    params.write_text(tiny.model_dump_json())
    monkeypatch.chdir(tmp_path)

    def run(*words):
        result = CliRunner().invoke(app, ["bench", *words, "--output", "bench.json"], catch_exceptions=False)
        assert result.exit_code == 0
        return json.loads((tmp_path / "bench.json").read_text())

    return run


@pytest.mark.parametrize(("load", "told"), [(0.1, False), (1.0, True)])
def test_a_busy_machine_is_told(tiny, load, told, monkeypatch, capsys):
    monkeypatch.setattr("os.getloadavg", lambda: (load, 0.0, 0.0))
    bench(tiny, [], None)
    assert ("warning: load" in capsys.readouterr().out) == told


def test_the_json_has_everything(small_benchmark, tmp_path):
    threads = torch.get_num_threads()
    results = small_benchmark("graph-loss", "step", "translation", "evaluation")
    assert set(results) == {"machine", "graph-loss", "step", "translation", "evaluation"}
    assert {"device", "name", "threads", "versions"} <= set(results["machine"])
    assert [*results["graph-loss"]["convolutions"]] == ["tag", "TAGConv", "GCNConv", "SAGEConv", "GATv2Conv"]
    assert results["graph-loss"]["convolutions"]["tag"]["ratio"] == 1
    row, plain = results["graph-loss"]["sizes"]
    assert {"patches", "batch", "density", "tag", "TAGConv", "ratio"} == set(row)
    assert set(plain) - set(row) == {"plain_process"}
    assert set(row["tag"]) == {"seconds", "fastest", "slowest", "repeats", "memory"}
    measured = results["step"]["published"]
    assert list(measured["parts"]) == ["data", "generator", "discriminator", "encoder", "graph loss", "optimiser"]
    assert measured["convolutions"]["step_to_convolutions"] > 0
    assert list(measured["combinations"]) == list(step.COMBINATIONS)
    translation_ = results["translation"]["params.yaml"]
    assert {"plain_loop", "gcl_translate", "gcl_translate_bfloat16"} <= set(translation_)
    assert translation_["gcl_translate"]["speedup"] > 0
    assert translation_["tiles"]["times_as_long"] > 0
    assert results["evaluation"]["images_a_second"] > 0
    assert torch.get_num_threads() == threads
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bench.json", "params.yaml"]
