"""States of a training are whole and checked, two are kept, and a resumed training is bit for bit the same."""

from functools import partial
from pathlib import Path

import pytest
import torch
from lightning_fabric import Fabric

from gcl.images.batches import Augmentation, UnpairedImages
from gcl.images.decoding import list_images
from gcl.networks.generator import Generator
from gcl.networks.projected_discriminator import ProjectedDiscriminator
from gcl.training.augmentation import CHANGES, Augmented
from gcl.training.gan_losses import HINGE
from gcl.training.loop import train
from gcl.training.states import newest_state, save_state
from gcl.training.trainer import Trainer
from pipeline.running import resuming
from pipeline.running.resuming import Unfinished
from tests.test_training import make_trainer


@pytest.fixture
def pairs(save_images, tmp_path):
    for domain in "AB":
        save_images(tmp_path / domain, 3, size=(40, 40))
    folders = tuple(list_images(tmp_path / domain) for domain in "AB")
    return UnpairedImages(folders, length=7, seed=3, augmentation=Augmentation(36, 32, flip=True))


def projected_trainer(config):
    """With the projected discriminator, all augmentation and the gradient penalty."""
    torch.manual_seed(0)
    discriminator = Augmented(ProjectedDiscriminator(8), list(CHANGES))
    generator = Generator(channels=4, blocks=1, resampling="resize")
    contrast = make_trainer(config).contrast
    return Trainer(Fabric(accelerator="cpu"), generator, discriminator, contrast, 1.0, True, config, gan=HINGE, r1=1.0)


def numbers(trainer):
    return {
        f"{name}.{key}": value.clone()
        for name, network in {**trainer.networks, "translator": trainer.translator}.items()
        for key, value in network.state_dict().items()
    }


@pytest.mark.parametrize(
    "make, decay, channels_last",
    [(make_trainer, 0.5, True), (partial(make_trainer, weight=0.0), 0.0, False), (projected_trainer, 0.5, True)],
    ids=["graph loss", "GAN loss only", "projected discriminator"],
)
def test_going_on_is_as_if_nothing_had_happened(config, pairs, tmp_path, make, decay, channels_last):
    settings = config(steps=7, log_every=3, average_decay=decay, channels_last=channels_last)
    whole = make(settings)
    expected = list(train(whole, pairs, settings))

    killed = make(settings)
    before = []
    for record in train(killed, pairs, settings):
        before.append(record)
        if record.step == 4:  # in the middle of a window of losses
            save_state(tmp_path / "states", 4, killed.state())
            break
    found = newest_state(tmp_path / "states")
    resumed = make(settings)
    torch.manual_seed(99)
    after = list(train(resumed, pairs, settings, found.step, found.contents))

    assert before + after == expected
    wanted, got = numbers(whole), numbers(resumed)
    assert [name for name in wanted if not torch.equal(wanted[name], got[name])] == []


def test_a_state_of_the_last_step_is_the_result(config, pairs, tmp_path):
    settings = config(steps=7, log_every=7)
    trainer = make_trainer(settings)
    list(train(trainer, pairs, settings))
    save_state(tmp_path / "states", 7, trainer.state())
    resumed = make_trainer(settings)
    found = newest_state(tmp_path / "states")
    assert list(train(resumed, pairs, settings, found.step, found.contents)) == []
    wanted, got = numbers(trainer), numbers(resumed)
    assert all(torch.equal(wanted[name], got[name]) for name in wanted)


CONTENTS = {"a": [torch.arange(3), {"b": torch.tensor(0.5)}], "c": None, "d": {"1": 0.1}}


def test_what_was_saved_comes_back(tmp_path):
    save_state(tmp_path, 7, CONTENTS)
    found = newest_state(tmp_path)
    assert found.step == 7 and found.damaged == [] and found.contents["d"] == {"1": 0.1}
    assert torch.equal(found.contents["a"][0], torch.arange(3)) and found.contents["a"][1]["b"].dim() == 0


def test_the_newest_two_are_kept(tmp_path):
    for step in (5, 100, 20):
        save_state(tmp_path, step, CONTENTS)
    assert [path.name[:13] for path in sorted(tmp_path.iterdir())] == ["step_00000020", "step_00000100"]
    assert newest_state(tmp_path).step == 100
    assert newest_state(tmp_path / "absent") is None


@pytest.mark.parametrize("damage", ["truncated", "bit flipped", "emptied"])
def test_a_damaged_state_is_told_and_the_older_one_used(tmp_path, damage):
    for step in (5, 6):
        save_state(tmp_path, step, CONTENTS)
    newest = max(tmp_path.iterdir())
    content = bytearray(newest.read_bytes())
    content[-1] ^= 1
    newest.write_bytes({"truncated": content[:-9], "bit flipped": content, "emptied": b""}[damage])
    found = newest_state(tmp_path)
    assert found.step == 5 and found.damaged == [newest]
    for path in tmp_path.iterdir():
        path.write_bytes(b"")
    assert newest_state(tmp_path) is None


def test_a_partial_file_is_no_state(tmp_path):
    save_state(tmp_path, 5, CONTENTS)
    (tmp_path / ".step_00000006_0123456789abcdef.safetensors.partial").write_bytes(b"half")
    assert newest_state(tmp_path).step == 5


def test_a_state_with_other_contents_starts_afresh_and_says_so(tmp_path, monkeypatch, capsys):
    unfinished = Unfinished(tmp_path / "unfinished", {"steps": 7})
    unfinished.save(4, {"weights": torch.zeros(2)})
    assert unfinished.find(restart=False).step == 4
    monkeypatch.setattr(resuming, "FORMAT", resuming.FORMAT + 1)
    assert Unfinished(tmp_path / "unfinished", {"steps": 7}).find(restart=False) is None
    assert f"starting afresh (format: {resuming.FORMAT - 1} -> {resuming.FORMAT})" in capsys.readouterr().out


def test_steps_cannot_be_added_to_a_finished_training_and_that_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def told(steps, hops, restart=False):
        made_from = {"train": {"steps": steps}, "graph": {"hops": hops}}
        training = Unfinished(tmp_path / "unfinished/train", made_from)
        assert training.find(restart) is None
        training.save(1, {})
        training.finish(steps)
        assert not training.folder.exists()
        return capsys.readouterr().out

    assert told(4, hops=2) == told(4, hops=2) == told(3, hops=2) == ""
    assert "finished after 3 steps; 6 steps start at step 0, since the learning rate" in told(6, hops=2)
    assert told(8, hops=1) == told(9, hops=1, restart=True) == ""


def test_states_of_a_clone_lie_in_the_original_by_settings(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))

    def training(clone, steps):
        (tmp_path / clone).mkdir(exist_ok=True)
        monkeypatch.chdir(tmp_path / clone)
        return Unfinished(Path("unfinished/train"), {"train": {"steps": steps}})

    training("one", steps=7).save(4, {})
    training("other", steps=8).save(5, {})
    assert training("one", steps=8).find(restart=False).step == 5
    again = training("third", steps=7)
    assert again.find(restart=False).step == 4
    again.finish(7)
    assert [path.name for path in (tmp_path / "unfinished").iterdir()] == [training("other", steps=8).folder.name]
    assert list((tmp_path / "third").iterdir()) == []


def test_a_state_of_a_clone_counts_for_the_same_code_only(tmp_path, monkeypatch):
    """A clone holds whatever version its experiment began with."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    (tmp_path / "clone").mkdir()
    monkeypatch.chdir(tmp_path / "clone")
    code = tmp_path / "gcl" / "contrast"
    code.mkdir(parents=True)
    (tmp_path / "dvc.yaml").write_text("stages: {train: {deps: [data/prepared, gcl/contrast]}}")
    monkeypatch.setattr("pipeline.running.code_that_counts.ROOT", tmp_path)
    folders = []
    for content in ("old", "new", "old"):
        (code / "losses.py").write_text(content)
        folders.append(Unfinished(Path("data/unfinished/train"), {"train.steps": 3}).folder)
    assert folders[0] == folders[2] != folders[1]
