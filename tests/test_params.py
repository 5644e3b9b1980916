"""params.yaml is valid, and mistakes in it are named by key, value and what is allowed."""

from pathlib import Path

import pytest

from gcl.config import Params
from gcl.contrast.methods import build_graph_loss
from gcl.errors import UserError
from gcl.networks.architectures import last_generator_layer
from gcl.networks.generator import Generator
from pipeline.params import flatten, parse_params, read_mapping, read_params
from pipeline.presets.apply import OWN, PUBLISHED, apply_preset, preset_names
from tests.conftest import ROOT

FILE = Path("params.yaml")


def test_every_key_of_the_file_is_a_parameter_and_the_other_way_round(settings):
    assert settings.pop("method") == "gcl"
    in_file = {key for section, values in settings.items() for key in (f"{section}.{name}" for name in values)}
    in_models = {
        f"{section}.{name}"
        for section, field in Params.model_fields.items()
        if section != "method"
        for name in field.annotation.model_fields
    }
    assert in_file == in_models


def test_every_key_has_a_comment():
    lines = (ROOT / "params.yaml").read_text(encoding="utf-8").splitlines()
    keys = [line for line in lines if line.startswith("  ")]
    assert [line.strip() for line in keys if "#" not in line] == []


@pytest.mark.parametrize(
    "section, key, value, told",
    [
        ("graph", "threshold", 2, ["graph.threshold = 2", "less than or equal to 1"]),
        ("src", "patches", 1, ["src.patches = 1", "greater than or equal to 2"]),
        ("graph", "patches", 0, ["graph.patches = 0", "greater than or equal to 1"]),
        ("graph", "adjacency", "sharde", ["graph.adjacency = sharde", "'shared', 'separate' or 'identity'"]),
        ("graph", "hop", 1, ["graph.hop: unknown key", "did you mean hops?"]),
        ("graph", "levels", 3, ["graph.level_weights has 2 weights", "needs 4"]),
        ("data", "source", "folder", ["data.path"]),
        ("train", "crop_size", 100, ["train.crop_size 100", "train.load_size 64"]),
        ("train", "steps", "many", ["train.steps = many", "integer"]),
        ("train", "devices", 0, ["train.devices = 0: must be a whole number from 1 to 1024, or auto"]),
        ("train", "devices", True, ["train.devices = True"]),
        ("train", "crop_size", 62, ["train.crop_size 62", "multiple of 4"]),
        ("discriminator", "layers", 5, ["discriminator.layers 5", "train.crop_size 64"]),
        ("encoder", "layers", ["conv1"], ["encoder.layers: encoder.name small has no layer conv1"]),
        ("encoder", "name", "vgg19", ["encoder.name = vgg19: there is no such encoder; choose from small, vgg16"]),
        ("discriminator", "name", "pach", ["discriminator.name = pach: there is no such discriminator"]),
        ("data", "source", "horses", ["data.source = horses: there is no such source; choose from scenes, folder"]),
        ("train", "seed", 2**32, ["train.seed"]),
        ("graph", "weight", float("inf"), ["graph.weight = inf"]),
        ("optimizer", "lr", 1, ["optimizer: unknown key"]),
        ("train", "steps", True, ["train.steps = True: input should be a number"]),
        ("train", "steps", 10**30, ["train.steps = 1000", "less than or equal to 1000000000"]),
        ("train", "generator_lr", True, ["train.generator_lr = True"]),
        ("train", "betas", [True, 0.9], ["train.betas.0 = True"]),
        ("train", "workers", 1000, ["train.workers = 1000", "128"]),
        ("train", "devices", 2000, ["train.devices = 2000", "1024"]),
        ("generator", "channels", 100000, ["generator.channels = 100000", "512"]),
        ("data", "scenes_train", 10**7, ["data.scenes_train"]),
        ("encoder", "layers", ["relu3_3"], ["encoder.layers: encoder.name small has no layer relu3_3", "relu3_2"]),
        ("encoder", "layers", ["relu4_1"], ["has no layer relu4_1; choose from relu1_1"]),
        (
            "cut",
            "layers",
            [0, 24],
            ["ablate.variants.cut: cut.layers: this generator has no layer 24; choose from 0 to 23"],
        ),
        ("data", "scenes_validation", 1, ["data.scenes_validation = 1: KID takes at least 2 images"]),
        ("data", "validation_share", 1, ["data.validation_share = 1", "less than 1"]),
        ("data", "direction", "AtoC", ["data.direction = AtoC", "'AtoB' or 'BtoA'"]),
        ("translate", "checkpoint", "newest", ["translate.checkpoint = newest", "'last' or 'best'"]),
        ("train", "best_by", "fid", ["train.best_by = fid", "'kid' or 'lpips_to_truth'"]),
        ("train", "stop_after", 0, ["train.stop_after = 0", "greater than or equal to 1"]),
        ("data", "size", 64, ["data.size: this key is called data.image_size now"]),
    ],
)
def test_mistakes_are_named(settings, section, key, value, told):
    settings.setdefault(section, {})[key] = value
    with pytest.raises(UserError) as error:
        parse_params(settings, FILE)
    for part in ["params.yaml", *told]:
        assert part in str(error.value)


@pytest.mark.parametrize(
    "variants, told",
    [
        ({"both": {"method": "cut", "hops": 3}}, "ablate.variants.both: hops: unknown key; allowed: weight"),
        ({"none": {"method": "cat"}}, "method = cat: there is no such method; choose from gcl, cut"),
        (
            {"deep": {"method": "cut", "layers": [24]}},
            "ablate.variants.deep: cut.layers: this generator has no",
        ),
        ({"off": {"weight": 0, "hops": 3}}, "ablate.variants.off: hops has no effect with weight: 0"),
        ({"flat": {"pooling": False, "keep": 0.5}}, "ablate.variants.flat: keep has no effect with pooling: false"),
        ({"alone": {"adjacency": "identity", "threshold": 0}}, "ablate.variants.alone: threshold has no effect"),
        ({"x@y": {}}, "ablate.variants.x@y: a name consists of"),
        ({"..": {}}, "ablate.variants...: a name consists of"),
        ({"main": {"hops": 1}}, "ablate.variants.main is the main run itself"),
        ({"wrong": {"hop": 1}}, "ablate.variants.wrong: hop: unknown key; did you mean hops?"),
    ],
)
def test_mistakes_in_variants_are_named(settings, variants, told):
    settings["ablate"]["variants"] = variants
    with pytest.raises(UserError) as error:
        parse_params(settings, FILE)
    assert told in str(error.value)


@pytest.mark.parametrize("resampling", ["blur", "resize"])
@pytest.mark.parametrize("blocks, downsamplings", [(1, 1), (3, 2), (2, 4)])
def test_the_generators_last_layer_is_known_without_it(blocks, downsamplings, resampling):
    generator = Generator(4, blocks, downsamplings, resampling)
    assert last_generator_layer(blocks, downsamplings, resampling) == len(generator.model) - 1


def test_files_in_the_home_folder_are_found(settings, monkeypatch):
    monkeypatch.setenv("HOME", "/somewhere")
    settings["data"] |= {"source": "folder", "path": "~/photographs", "mirror": "~/archive.zip"}
    data = parse_params(settings, FILE).data
    assert (str(data.path), data.mirror) == ("/somewhere/photographs", "/somewhere/archive.zip")


def test_a_missing_key_is_named(settings):
    del settings["graph"]["hops"]
    with pytest.raises(UserError, match=r"graph\.hops: key is missing"):
        parse_params(settings, FILE)


def test_pooling_off_drops_the_pooled_weights(settings):
    settings["graph"]["pooling"] = False
    loss = build_graph_loss(parse_params(settings, FILE).graph, channels=[4])
    assert loss.level_weights == (1.0,) and len(loss.pool_gnns) == 0


def test_broken_yaml_and_missing_files_are_told(tmp_path):
    broken = tmp_path / "params.yaml"
    broken.write_text("graph: [1, 2\n")
    with pytest.raises(UserError, match="not valid YAML"):
        read_params(broken)
    broken.write_text("just words\n")
    with pytest.raises(UserError, match="expected sections"):
        read_params(broken)
    with pytest.raises(UserError, match="no such file"):
        read_params(tmp_path / "absent.yaml")


def test_scientific_notation_is_a_number(tmp_path):
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    lines = ["  generator_lr: 1e-4" if line.startswith("  generator_lr:") else line for line in text.splitlines()]
    file = tmp_path / "params.yaml"
    file.write_text("\n".join(lines), encoding="utf-8")
    assert read_params(file).train.generator_lr == 1e-4


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_gives_its_values_and_keeps_comments(name, tmp_path):
    original = (ROOT / "params.yaml").read_text(encoding="utf-8")
    file = tmp_path / "params.yaml"
    file.write_text(original, encoding="utf-8")
    apply_preset(name, file)
    preset = flatten(read_mapping(next((file for file in OWN if file.stem == name), PUBLISHED)))
    applied = flatten(read_params(file).model_dump(mode="json"))
    assert {key: applied[key] for key in preset} == preset
    assert read_params(file) != read_params(ROOT / "params.yaml")
    changed = file.read_text(encoding="utf-8")
    assert changed.count("#") == original.count("#")
    assert "  weights: null " in changed


def test_presets_can_follow_each_other(tmp_path):
    file, preset = tmp_path / "params.yaml", flatten(read_mapping(OWN[0]))
    file.write_bytes((ROOT / "params.yaml").read_bytes())
    for name in ("photographs", "horse2zebra", "single_image", "photographs"):
        apply_preset(name, file)
        read_params(file)
    applied = flatten(read_mapping(file))
    assert {key: applied[key] for key in preset} == preset


def test_the_published_preset_is_the_published_setting(tmp_path):
    file = tmp_path / "params.yaml"
    file.write_text((ROOT / "params.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    apply_preset("horse2zebra", file)
    params = read_params(file)
    assert params.encoder.layers == ("relu3_1", "relu4_1", "relu4_3")
    graph = params.graph
    assert (graph.patches, graph.embedding, graph.threshold, graph.hops, graph.weight) == (256, 256, 0.1, 2, 0.1)
    assert params.train.average_decay == 0


def test_an_unknown_preset_changes_nothing(tmp_path):
    file = tmp_path / "params.yaml"
    file.write_text("graph: {}\n")
    with pytest.raises(UserError, match="horse2zebra"):
        apply_preset("zebra2horse", file)
    assert file.read_text() == "graph: {}\n"


def test_flatten():
    assert flatten({"graph": {"hops": 2, "deep": {"er": 1}}, "seed": 0}) == {
        "graph.hops": 2,
        "graph.deep.er": 1,
        "seed": 0,
    }
