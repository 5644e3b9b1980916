"""Validation during training: its values, the best checkpoint, stopping early; and that it changes no training."""

import pytest
import torch
from PIL import Image

from gcl.images.manifest import Manifest, describe
from gcl.images.prepared import Prepared
from gcl.measures.evaluation import evaluate
from gcl.measures.validation import Validation
from gcl.networks.inference import translate_folder
from gcl.networks.model_folder import load_generator
from pipeline.params import read_params
from tests.trainings import Project

EVERY_STEP = {"validate_every": 1, "log_every": 2, "steps": 6}


@pytest.fixture
def project(tmp_path, monkeypatch):
    return Project(tmp_path / "project", monkeypatch)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A training that was validated after every step."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield Project(tmp_path_factory.mktemp("validation") / "project", monkeypatch).train(train=EVERY_STEP)


def validation_as_test(prepared: Prepared, folder) -> Prepared:
    """A data set whose test images are the validation images of ``prepared``."""
    folder.mkdir()
    sources = {"trainA": "trainA", "trainB": "trainB", "testA": "validationA", "testB": "validationB"}
    for name, source in sources.items():
        (folder / name).symlink_to(prepared.split(source).resolve())
    splits = {
        name: [describe(path.name, Image.open(path)) for path in prepared.images(source)]
        for name, source in sources.items()
    }
    Manifest("scenes", True, False, splits).save(folder)
    return Prepared(folder)


def test_the_values_are_those_of_an_evaluation(trained, tmp_path):
    params, prepared = read_params(trained.folder / "params.yaml"), Prepared(trained.folder / "data/prepared")
    generator, translated = load_generator(trained.model), tmp_path / "translated"
    list(translate_folder(generator, prepared.split("validationA"), translated, torch.device("cpu")))
    before = torch.get_rng_state()
    found = Validation(params.evaluate, prepared, 30, "cpu").measure(translated)
    assert torch.equal(torch.get_rng_state(), before)

    as_test = validation_as_test(prepared, tmp_path / "as_test")
    rows = {result.name: result for result in evaluate(params.evaluate, as_test, translated, "cpu")}
    assert list(found) == [
        "kid_small",
        "lpips_small_to_input",
        "structure_small_to_input",
        "lpips_small_to_truth",
    ]
    for name, value in found.items():
        assert value == pytest.approx(rows[name].measurement.value, rel=1e-4, abs=1e-7)
    # The same values stand in the curves and in model.json, with those of doing nothing.
    last = trained.curves.iloc[-1]
    told = trained.description
    for name, value in found.items():
        assert last[f"validation_{name}"] == pytest.approx(value, rel=1e-4, abs=1e-7)
        assert told["checkpoints"]["last"]["validation"][name] == pytest.approx(value, rel=1e-4, abs=1e-7)
        untranslated = rows[name].untranslated
        assert told["validation"]["untranslated"][name] == pytest.approx(untranslated, rel=1e-4, abs=1e-7)


def test_the_best_checkpoint_is_the_lowest_point_of_the_curve(trained, tmp_path):
    curve = trained.curves.set_index("step")["validation_kid_small"]
    best = trained.description["checkpoints"]["best"]
    assert curve.notna().all() and best["step"] == curve.idxmin()
    params, prepared = read_params(trained.folder / "params.yaml"), Prepared(trained.folder / "data/prepared")
    generator = load_generator(trained.model, "best")
    list(translate_folder(generator, prepared.split("validationA"), tmp_path / "new", torch.device("cpu")))
    found = Validation(params.evaluate, prepared, 30, "cpu").measure(tmp_path / "new")
    assert found["kid_small"] == pytest.approx(curve.min(), rel=1e-4)


@pytest.mark.parametrize("threads", [1, 2])
def test_validating_changes_no_bit_of_the_training(project, tmp_path, monkeypatch, threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        project.train(train=EVERY_STEP | {"average_decay": 0.0})
        other = Project(tmp_path / "other", monkeypatch)
        other.train(train=EVERY_STEP | {"average_decay": 0.0}, data={"scenes_validation": 0})
    finally:
        torch.set_num_threads(before)
    for network in ("generator", "discriminator", "contrast"):
        ours, theirs = project.weights(network), other.weights(network)
        assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []
    losses = project.curves.dropna(subset="discriminator").reset_index(drop=True)
    assert losses[other.curves.columns].equals(other.curves)
    assert not (other.model / "generator_best.safetensors").exists()


def test_it_stops_when_validations_bring_nothing_better(project, capsys):
    still = {"generator_lr": 1e-30, "average_decay": 0.0, "stop_after": 2, "validate_every": 2, "steps": 100}
    project.train(train=still)
    assert "stopped after step 6: no validation since step 2 was better" in capsys.readouterr().out
    assert project.description["checkpoints"]["last"]["step"] == 6
    assert project.description["checkpoints"]["best"]["step"] == 2


@pytest.mark.parametrize(
    "changes, told",
    [
        (
            {"translate": {"checkpoint": "best"}},
            "translate.checkpoint needs validation images, and the data set has none",
        ),
        ({"train": {"stop_after": 3}}, "train.stop_after needs validation images, and the data set has none"),
    ],
)
def test_what_needs_validation_images_says_so_before_it_trains(project, failure, changes, told):
    project.set(data={"scenes_validation": 0}, **changes).run("prepare")
    assert failure("train").startswith(f"error: {told}")
    assert not project.model.exists()


def test_the_best_by_the_truth_needs_the_truth(project, failure, save_images):
    for split, count in (("trainA", 20), ("trainB", 20), ("testA", 2), ("testB", 2)):
        save_images(project.folder / "photographs" / split, count)
    data = {"source": "folder", "path": "photographs", "image_size": 64}
    project.set(data=data, train={"best_by": "lpips_to_truth"}).run("prepare")
    assert "train.best_by = lpips_to_truth: the true translations of the validation images" in failure("train")


def test_a_model_without_validation_has_no_best_checkpoint(trained, project, failure):
    project.train(data={"scenes_validation": 0}, train={"steps": 2})
    line = failure("translate", "--checkpoint", "best")
    assert "this model has no best checkpoint; use its last one" in line
