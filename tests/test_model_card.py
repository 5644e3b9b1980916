"""The model card in every model folder: it says what is known, and nothing that is not."""

import pytest

from gcl.networks.model_card import model_card
from gcl.networks.model_folder import load_generator
from tests.models import SIZES, save_model, small_generator
from tests.trainings import Project


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield Project(tmp_path_factory.mktemp("card") / "project", monkeypatch).train()


def test_a_trained_model_tells_data_parameters_metrics_limits_and_lineage(trained):
    card, told = (trained.model / "README.md").read_text(), trained.description
    assert "`scenes`: 6 trainA, 6 trainB, 4 testA, 4 testB, 3 validationA, 3 validationB" in card
    assert f"Content hash `{told['data_sha256'][:16]}`" in card
    assert "seed 0, 4 steps of batch 1" in card and "channels `4`" in card
    last = told["checkpoints"]["last"]["validation"]["kid_small"]
    untranslated = told["validation"]["untranslated"]["kid_small"]
    (line,) = (line for line in card.splitlines() if line.startswith("| `kid_small`"))
    assert line.split("|")[2].strip() == f"{last:.4g}" and line.split("|")[4].strip() == f"{untranslated:.4g}"
    assert "other features than the published metrics" in card and "Trained from random weights" in card
    assert card == model_card(told)


def test_metrics_of_the_test_images_are_added_once_they_are_known(trained):
    trained.run("translate")
    trained.run("evaluate")
    rows = [{"name": "fid_small", "value": 1.25, "untranslated": 10, "another": None, "real": 0.5, "images": 4}]
    card = model_card(trained.description, rows)
    assert "| `fid_small` | 1.25 | 10 | - | 0.5 | 4 |" in card and "| | translated by the last checkpoint |" in card
    alone = model_card(trained.description, rows, "best", alone=True)
    assert "`generator.safetensors` is the best checkpoint, which is alone here" in alone
    assert "| | translated by the best checkpoint |" in alone and "generator_best" not in alone
    client, run_id = trained.client, trained.run_id
    logged = client.download_artifacts(run_id, "model/README.md", str(trained.folder))
    assert "On the test images, which had no part" in open(logged).read()


def test_the_models_it_started_from_are_listed(trained):
    older = {"model": "runs:/1", "generator_sha256": "b" * 64, "taken": ["generator"]}
    start = {"model": "a|b`c", "generator_sha256": "a" * 64, "taken": ["generator", "contrast"], "start_from": older}
    card = model_card(trained.description | {"start_from": start})
    assert "It started from `a/b'c` (generator's SHA-256 `aaaaaaaaaaaaaaaa`; taken: generator, contrast)." in card
    assert "That one started from `runs:/1`" in card


def test_a_model_from_elsewhere_claims_nothing(tmp_path):
    folder = save_model(tmp_path / "model", small_generator())
    card = (folder / "README.md").read_text()
    assert card.count("Unknown to this program.") == 2 and "None: it was not trained here." in card
    assert card == model_card({"generator": SIZES})
    load_generator(folder)
