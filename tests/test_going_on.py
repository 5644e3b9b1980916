"""Going on from other models and from finished trainings: what is taken, what is said, and that no bit differs."""

import pytest
import torch

from gcl.exchange.public_checkpoints import import_checkpoint
from gcl.networks.generator import Generator
from tests.trainings import Project

STILL = {"steps": 1, "generator_lr": 1e-30, "discriminator_lr": 1e-30, "average_decay": 0.0}
"""One step that changes no weight."""


@pytest.fixture
def project(tmp_path, monkeypatch):
    return Project(tmp_path / "project", monkeypatch)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A trained model to start from."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield Project(tmp_path_factory.mktemp("source") / "source", monkeypatch).train()


def same(ours: dict, theirs: dict) -> bool:
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_training_starts_with_all_weights_of_another(project, source, capsys):
    project.train(train=STILL | {"start_from": str(source.model), "seed": 1})
    for network in ("generator", "contrast"):
        assert same(project.weights(network), source.weights(network))
    # Spectral normalisation refines its vectors with every step.
    ours, theirs = project.weights("discriminator"), source.weights("discriminator")
    assert all(torch.equal(ours[name], theirs[name]) for name in ours if not name.endswith(("._u", "._v")))
    assert f"starting from {source.model}: generator, discriminator, contrast" in capsys.readouterr().out
    lineage = project.description["start_from"]
    tags = project.client.get_run(project.run_id).data.tags
    assert tags["start_from"] == "model" and tags["start_from.sha256"] == lineage["generator_sha256"]
    assert lineage["model"] == "model" and lineage["taken"] == ["contrast", "discriminator", "generator"]
    assert lineage["checkpoints"]["last"]["step"] == 4
    assert str(source.folder) not in (project.model / "model.json").read_text()


def test_it_starts_with_the_model_of_an_mlflow_run(project, source):
    project.store = source.store
    project.train(train=STILL | {"start_from": f"runs:/{source.run_id}"})
    assert same(project.weights("generator"), source.weights("generator"))
    assert project.description["start_from"]["model"] == f"runs:/{source.run_id}"


def test_of_another_method_only_the_networks_are_taken(project, source, capsys):
    project.set(train=STILL | {"start_from": str(source.model)})
    text = (project.folder / "params.yaml").read_text().replace("method: gcl", "method: cut", 1)
    (project.folder / "params.yaml").write_text(text)
    project.run("prepare")
    project.run("train")
    told = "note: the layers of the contrast begin with random weights: method is cut, and gcl in the model"
    assert told in capsys.readouterr().out
    assert project.description["start_from"]["taken"] == ["discriminator", "generator"]
    assert same(project.weights("generator"), source.weights("generator"))


def test_a_public_generator_is_a_start(project, tmp_path):
    torch.manual_seed(5)
    public = Generator(4, 1, 2, "resize")
    torch.save(public.state_dict(), tmp_path / "latest_net_G.pth")
    import_checkpoint(tmp_path / "latest_net_G.pth", tmp_path / "public")
    project.train(train=STILL | {"start_from": str(tmp_path / "public")})
    weights = public.state_dict()
    # Adam moves even a weight of 0 by the learning rate.
    assert all(torch.allclose(weights[name], ours, atol=1e-20) for name, ours in project.weights("generator").items())
    assert project.description["start_from"]["taken"] == ["generator"]
    assert project.description["start_from"]["origin"]


def test_every_size_that_differs_is_named(project, source, failure, capsys):
    sizes = {
        "generator": {"channels": 8, "blocks": 2, "residual": True},
        "discriminator": {"channels": 8, "layers": 1},
    }
    project.set(train={"start_from": str(source.model)}, **sizes).run("prepare")
    with pytest.raises(SystemExit):
        project.run("train")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].endswith("its weights do not fit params.yaml:")
    assert lines[1:] == [
        "- generator.channels is 8, and 4 in the model",
        "- generator.blocks is 2, and 1 in the model",
        "- generator.residual is true, and false in the model",
        "- discriminator.channels is 8, and 4 in the model",
        "- discriminator.layers is 1, and 2 in the model",
    ]
    assert not project.model.exists()


@pytest.mark.parametrize(
    "start, told",
    [
        ("nowhere", "nowhere: no model here (model.json is missing)"),
        ("data/model", "train.start_from = data/model: DVC removes this folder before it trains; name a copy of it"),
        ("runs:/abc", "runs:/abc: an MLflow run is named runs:/ID, with the 32 digits of its id"),
        (f"runs:/{'0' * 32}", f"runs:/{'0' * 32}: no model of this run can be read from sqlite:///"),
    ],
)
def test_a_start_that_is_not_there_is_named(project, failure, start, told):
    project.set(train={"start_from": start}).run("prepare")
    assert told in failure("train")
    assert not project.model.exists()


def test_more_steps_of_constant_rate_equal_one_longer_training_bit_for_bit(project, tmp_path, monkeypatch, capsys):
    # The first one ends between log lines, validations and grids.
    constant = {"constant_share": 1.0, "save_every": 3}
    project.train(train=constant | {"steps": 5})
    first = project.run_id
    capsys.readouterr()
    project.train(train=constant | {"steps": 8})
    told = "a training with these settings finished after 5 steps; going on from step 5, until which the learning rate"
    assert told in capsys.readouterr().out
    longer = Project(tmp_path / "longer", monkeypatch).train(train=constant | {"steps": 8})
    ours, theirs = project.results(), longer.results()
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if ours[name] != theirs[name]] == []
    assert project.run_id != first
    assert project.logged("discriminator") == longer.logged("discriminator") == [2, 4, 6, 8]
    assert project.logged("validation_kid_small") == longer.logged("validation_kid_small") == [2, 4, 6, 8]


def test_a_training_goes_on_from_the_end_of_its_constant_part(project, tmp_path, monkeypatch, capsys):
    project.train(train={"steps": 6})  # constant until step 3
    project.train(train={"steps": 8})  # constant until step 4
    assert "finished after 6 steps; going on from step 3, until which" in capsys.readouterr().out
    longer = Project(tmp_path / "longer", monkeypatch).train(train={"steps": 8})
    assert project.results() == longer.results()


def test_the_state_of_another_training_is_not_gone_on_from(project, tmp_path, monkeypatch, capsys):
    project.train(train={"steps": 6})
    # One with another setting has passed the end of its constant part when it fails.
    with pytest.MonkeyPatch.context() as failing:
        failing.setattr("pipeline.stages.train.save_model", None)
        with pytest.raises(TypeError):
            project.train(train={"steps": 6}, graph={"hops": 1})
    capsys.readouterr()
    project.train(train={"steps": 8})
    assert "finished after 6 steps; going on from step 3, until which" in capsys.readouterr().out
    assert project.results() == Project(tmp_path / "other", monkeypatch).train(train={"steps": 8}).results()
    # One with another setting that finishes takes its place.
    project.train(train={"steps": 6}, graph={"hops": 1})
    capsys.readouterr()
    project.train(train={"steps": 9})
    assert "going on" not in capsys.readouterr().out


def test_a_training_that_stopped_early_has_nothing_to_go_on_from(project, capsys):
    still = {"generator_lr": 1e-30, "average_decay": 0.0, "stop_after": 1, "validate_every": 2}
    project.train(train=still | {"steps": 100})
    project.train(train=still | {"steps": 200})
    told = "finished after 4 steps; 200 steps start at step 0, since the learning rate of every step depends on train."
    assert told in capsys.readouterr().out


def test_a_resumed_training_keeps_its_mlflow_run_whatever_is_translated(project):
    """MLflow refuses other values of parameters that a run has."""
    with pytest.MonkeyPatch.context() as failing:
        failing.setattr("pipeline.stages.train.save_model", None)
        with pytest.raises(TypeError):
            project.train(train={"steps": 6})
    project.train(train={"steps": 6}, translate={"checkpoint": "best"})
    project.run("translate")
    project.run("evaluate")
    run = project.client.get_run(project.run_id)
    assert run.info.status == "FINISHED" and "fid_small" in run.data.metrics
    assert run.data.params["translate.checkpoint"] == "last" and run.data.tags["translate.checkpoint"] == "best"
    assert not list((project.folder / "mlflow-pending").glob("*"))


def test_it_says_why_a_training_must_start_afresh(project, capsys):
    project.train(train={"steps": 6})
    project.train(train={"steps": 8, "constant_share": 0.1})
    told = (
        "a training with these settings finished after 6 steps; 8 steps start at step 0, since its learning rate was "
    )
    assert told + "constant until step 3, which train.constant_share leaves no room for" in capsys.readouterr().out
