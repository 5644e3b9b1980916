"""The diagnosis finds what was done to good translations on purpose, and nothing in good translations."""

import json
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.spatial.distance import pdist
from sklearn.linear_model import LinearRegression

from gcl.diagnosis import evidence as evidence_module
from gcl.diagnosis.changes import beyond_colours, change
from gcl.diagnosis.evidence import Evidence, Picture, read_evidence
from gcl.diagnosis.grids import grid
from gcl.diagnosis.symptoms import RAISE, SYMPTOMS, Finding, diagnose
from gcl.diagnosis.yardsticks import difference, excess
from gcl.errors import UserError
from gcl.images.decoding import save_png
from gcl.images.prepared import Prepared
from gcl.networks.model_folder import FORMAT
from gcl.sources.drawn.scenes import draw_scene
from pipeline.params import flatten, parse_params
from pipeline.running.run_folder import RunFolder
from pipeline.stages.prepare import prepare
from pipeline.stages.report import write_report

COUNT, SIDE = 24, 64
ROWS, COLUMNS = np.indices((SIDE, SIDE))
MATRIX = np.array([[0.5, 0.3, 0.1], [0.1, 0.4, 0.2], [0.3, 0.1, 0.6]])


@pytest.fixture(scope="module")
def drawn() -> dict[str, list[np.ndarray]]:
    """Inputs, their true translations, and B of other scenes."""
    places = {"inputs": (0, "A"), "truth": (0, "B"), "real": (1, "B")}
    return {name: [draw_scene(seed, i, domain, SIDE) for i in range(COUNT)] for name, (seed, domain) in places.items()}


def pictures(images) -> list[Picture]:
    return [Picture(image, image) for image in images]


def seen(drawn, translations, losses=(0.25,) * 20) -> Evidence:
    sets = (pictures(images) for images in (drawn["inputs"], translations, drawn["real"]))
    return Evidence(*sets, np.array(losses), saturated=0.01)


def found(evidence: Evidence) -> set[str]:
    return {finding.symptom.name for finding in diagnose(evidence) if finding.found}


def rounded(image: np.ndarray) -> np.ndarray:
    return image.round().clip(0, 255).astype(np.uint8)


def compressed(image: np.ndarray) -> np.ndarray:
    stream = BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=75)
    return np.asarray(Image.open(stream))


def with_pattern(image: np.ndarray, pattern: np.ndarray) -> np.ndarray:
    return rounded(image + 2.0 * np.where(pattern, 1, -1)[..., None])


def with_spot(image: np.ndarray, top: int, left: int, colour: tuple[int, int, int]) -> np.ndarray:
    spotted = image.copy()
    spotted[top : top + 10, left : left + 10] = colour
    return spotted


def place_in(image: np.ndarray) -> np.ndarray:
    """A place that depends on the image alone, and so differs from image to image."""
    return np.random.default_rng(int(image.sum())).integers(0, 54, 2)


FAULTS = {
    "identity": ("inputs", lambda image: image, "copies of the input"),
    "JPEG": ("inputs", compressed, "copies of the input"),
    "matrix": ("inputs", lambda image: rounded(image @ MATRIX), "only colours changed"),
    "tone curve": ("inputs", lambda image: rounded(255 * (image / 255) ** 2), "only colours changed"),
    "checkerboard": ("truth", lambda image: with_pattern(image, (ROWS + COLUMNS) % 2 == 0), "pixel grid"),
    "columns": ("truth", lambda image: with_pattern(image, COLUMNS % 2 == 0), "pixel grid"),
    "period 4": ("truth", lambda image: with_pattern(image, (ROWS % 4 == 0) | (COLUMNS % 4 == 0)), "pixel grid"),
    "spot": ("truth", lambda image: with_spot(image, 20, 30, (200, 40, 120)), "the same spot everywhere"),
    "patches": ("truth", lambda image: with_spot(image, *place_in(image), (0, 255, 0)), "burnt-out patches"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_and_nothing_else(drawn, fault):
    of, spoil, name = FAULTS[fault]
    assert found(seen(drawn, [spoil(image) for image in drawn[of]])) == {name}


def test_nothing_is_found_in_the_truth(drawn):
    assert found(seen(drawn, drawn["truth"])) == set()


@pytest.mark.parametrize("image", ["truth", "grey"])
def test_one_translation_for_all_is_found(drawn, image):
    one = drawn["truth"][0] if image == "truth" else np.full((SIDE, SIDE, 3), 128, np.uint8)
    assert found(seen(drawn, [one] * COUNT)) == {"one translation for all"}


@pytest.mark.parametrize("period", [3, 5, 6])
def test_other_periods_are_no_grid(drawn, period):
    striped = [with_pattern(image, COLUMNS % period == 0) for image in drawn["truth"]]
    assert grid(seen(drawn, striped)) < 0.5


def test_a_grid_that_the_inputs_or_real_images_have_too_is_none(drawn):
    gridded = {
        name: [with_pattern(image, (ROWS + COLUMNS) % 2 == 0) for image in images] for name, images in drawn.items()
    }
    for name in ("inputs", "real"):
        assert grid(seen(drawn | {name: gridded[name]}, gridded["truth"])) < 1 < grid(seen(drawn, gridded["truth"]))


def test_the_blocks_of_one_picture_are_no_evidence_of_their_own(drawn):
    """Pictures of four times as many blocks give the same value, and one picture alone gives none."""
    few = {name: images[:3] for name, images in drawn.items()}
    few["truth"] = [with_pattern(image, (ROWS + COLUMNS) % 2 == 0) for image in few["truth"]]
    tiled = {name: [np.tile(image, (2, 2, 1)) for image in images] for name, images in few.items()}
    assert 1 < grid(seen(tiled, tiled["truth"])) == pytest.approx(grid(seen(few, few["truth"])))
    alone = {name: images[:1] for name, images in tiled.items()}
    assert grid(seen(alone, alone["truth"])) is None


@pytest.mark.parametrize("low, share", [(0, 0.0), (1, 0.05), (2, 0.1), (20, 1.0)])
def test_saturation_is_a_share_of_the_training(drawn, low, share):
    evidence = seen(drawn, drawn["truth"], [0.009] * low + [0.01] * (20 - low))
    (finding,) = [f for f in diagnose(evidence) if f.symptom.name == "saturated discriminator"]
    assert finding.value == pytest.approx(share) and finding.found == (share >= 0.1)


def test_the_difference_is_that_of_all_pairs(drawn):
    thumbnails = np.stack([picture.thumbnail.ravel() for picture in pictures(drawn["inputs"])])
    pairs = pdist(thumbnails, "sqeuclidean") / thumbnails.shape[1]
    assert difference(pictures(drawn["inputs"])) == pytest.approx(np.sqrt(pairs.mean()))


def test_the_change_is_relative_to_the_difference(drawn):
    evidence = seen(drawn, drawn["truth"])
    changes = (np.stack(drawn["truth"]) - np.stack(drawn["inputs"]).astype(float)) / 255
    halved = changes.reshape(COUNT, SIDE // 2, 2, SIDE // 2, 2, 3).mean(axis=(2, 4))
    expected = np.sqrt(np.square(halved).mean()) / difference(evidence.inputs)
    assert change(evidence) == pytest.approx(expected, rel=1e-3)


def test_what_colours_explain_is_judged_by_regression(drawn):
    """The value is what a library's regression leaves over, and of noise its own size."""
    left, contrast = [], []
    for image, truth in zip(drawn["inputs"], drawn["truth"], strict=True):
        red, green, blue = colours = image[::2, ::2].reshape(-1, 3).T / 255
        terms = np.stack([*colours, *colours**2, red * green, red * blue, green * blue], axis=1)
        target = truth[::2, ::2].reshape(-1, 3) / 255
        left.append(np.square(target - LinearRegression().fit(terms, target).predict(terms)).mean())
        contrast.append(target.var(axis=0).mean())
    expected = np.sqrt(np.mean(left) / np.mean(contrast))
    assert beyond_colours(seen(drawn, drawn["truth"])) == pytest.approx(expected)
    inverted = [255.0 - image for image in drawn["inputs"]]
    random = np.random.default_rng(0)
    noisy = [rounded(image.clip(40, 215) + random.normal(0, 8, image.shape)) for image in inverted]
    soft = drawn | {"inputs": [image.clip(40, 215) for image in drawn["inputs"]]}
    contrast = np.sqrt(np.mean([image.reshape(-1, 3).var(axis=0).mean() for image in noisy]))
    assert beyond_colours(seen(soft, noisy)) == pytest.approx(8 / contrast, rel=0.03)


def test_two_standard_errors_are_deducted():
    values, low, high = np.array([3.0, 5.0, 7.0]), np.array([0.0]), np.array([0.5, 1.5])
    assert excess(values, low, high) == pytest.approx(5 - 1 - 2 * np.sqrt(4 / 3 + 0.5 / 2))
    assert excess(low, values) == 0


@pytest.mark.parametrize("count", [1, 2, 4])
def test_nothing_is_found_in_very_few_good_translations(drawn, count):
    few = {name: images[:count] for name, images in drawn.items()}
    assert found(seen(few, few["truth"])) == set()
    assert found(seen(few | {"real": drawn["real"][:1]}, few["truth"])) == set()


@pytest.mark.parametrize("count, told", [(1, set()), (2, {"copies of the input"})])
def test_two_copies_are_called_copies_and_one_is_not_judged(drawn, count, told):
    few = {name: images[:count] for name, images in drawn.items()}
    assert found(seen(few, few["inputs"])) == told


# Reading


def write(folder: Path, images) -> list[Path]:
    folder.mkdir()
    for index, image in enumerate(images):
        save_png(image, folder / f"{index:03}.png")
    return sorted(folder.iterdir())


def test_images_of_any_shape_are_read(tmp_path):
    sizes = [(64, 64), (40, 96), (300, 520), (16, 20)]
    random = np.random.default_rng(0)
    inputs = write(tmp_path / "a", [random.integers(0, 256, (*size, 3), np.uint8) for size in sizes])
    outputs = write(tmp_path / "out", [random.integers(0, 256, (*size, 3), np.uint8) for size in sizes])
    evidence = read_evidence(inputs, lambda stem: tmp_path / "out" / f"{stem}.png", inputs, np.ones(2), 0.01)
    assert [picture.middle.shape[:2] for picture in evidence.inputs] == [(64, 64), (40, 96), (256, 256), (16, 20)]
    assert [picture.whole.shape[:2] for picture in evidence.inputs] == [(64, 64), (40, 96), (100, 174), (16, 20)]
    large = np.asarray(Image.open(outputs[2]))
    assert np.array_equal(evidence.translations[2].middle, large[22:278, 132:388])
    assert found(evidence) == set()


def test_the_images_looked_at_are_evenly_spaced(tmp_path, monkeypatch):
    monkeypatch.setattr(evidence_module, "MOST", 3)
    files = write(tmp_path / "a", [np.full((32, 32, 3), gray, np.uint8) for gray in range(9)])
    evidence = read_evidence(files, lambda stem: tmp_path / "a" / f"{stem}.png", files[:2], np.ones(2), 0.01)
    assert [picture.whole[0, 0, 0] for picture in evidence.translations] == [0, 4, 8]
    assert len(evidence.real) == 2


def test_a_translation_of_another_size_is_named(tmp_path):
    files = write(tmp_path / "a", [np.zeros((32, 32, 3), np.uint8)])
    write(tmp_path / "out", [np.zeros((32, 40, 3), np.uint8)])
    with pytest.raises(UserError, match=r"out/000\.png: not of the same size as its input"):
        read_evidence(files, lambda stem: tmp_path / "out" / f"{stem}.png", files, np.ones(2), 0.01)


# Advice and the page


@pytest.mark.parametrize("symptom", SYMPTOMS, ids=lambda symptom: symptom.name)
@pytest.mark.parametrize("section", ["graph", "cut", "src"])
def test_advice_names_keys_of_params(drawn, settings, symptom, section):
    params = {key: str(value) for key, value in flatten(settings).items()}
    (finding,) = [f for f in diagnose(seen(drawn, drawn["truth"])) if f.symptom is symptom]
    assert finding.advice(params, section)
    # Whatever is set already, something is left to turn.
    assert RAISE in symptom.turns.values()


def test_advice_adds_to_the_changes_that_a_discriminator_sees():
    symptom = next(symptom for symptom in SYMPTOMS if symptom.name == "saturated discriminator")
    finding = Finding(symptom, 1.0)

    def advised(augment: str) -> list[str]:
        now = {"train.discriminator_lr": "0", "discriminator.r1": "0", "discriminator.augment": augment}
        return [told for told in finding.advice(now, "graph") if "augment" in told]

    assert advised('["color", "translation", "cutout"]') == advised('["translation", "color"]') == []
    (told,) = advised('["cutout"]')
    assert told == 'set `discriminator.augment` to `["cutout", "color", "translation"]` (now `["cutout"]`)'
    assert advised("null") == ['set `discriminator.augment` to `["color", "translation"]` (now `null`)']


def test_advice_leaves_out_what_is_set_so(drawn):
    findings = diagnose(seen(drawn, drawn["inputs"]))
    now = {"cut.weight": "0.0", "generator.residual": "false", "train.steps": "9"}
    assert findings[0].found and findings[0].advice(now, "cut") == ["raise `train.steps` (now `9`)"]
    now = {"cut.weight": "2.0", "generator.residual": "true", "train.steps": "9"}
    assert findings[0].advice(now, "cut")[:2] == [
        "lower `cut.weight` (now `2.0`)",
        "set `generator.residual` to `false` (now `true`)",
    ]


def test_the_report_puts_what_was_found_on_top(tmp_path, settings, capsys):
    settings["data"].update({"scenes_train": 3, "scenes_test": 3})
    settings["method"] = "cut"
    params = parse_params(settings, "params.yaml")
    prepare(params.data, tmp_path / "data")
    run = RunFolder(*(tmp_path / name for name in ("model", "data/testA", "reports", "run.json")))
    run.model.mkdir()
    description = {
        "format": FORMAT,
        "discriminator": {"name": "patch"},
        "method": "cut",
        "cut": params.cut.model_dump(mode="json"),
        "versions": {},
        "threads": 1,
    }
    (run.model / "model.json").write_text(json.dumps(description))
    run.write_curves([{"step": 1, "discriminator": 0.2}, {"step": 2, "discriminator": 0.001}])
    run.write_evaluation({}, {}, [], pd.DataFrame())
    write_report(params, Prepared(tmp_path / "data"), run)

    page = (run.reports / "report.md").read_text()
    rows = [line.split("|")[1].strip() for line in page.splitlines() if "| below" in line or "| above" in line]
    assert len(rows) == len(SYMPTOMS) and rows[:2] == ["**copies of the input**", "**saturated discriminator**"]
    assert not any("**" in name for name in rows[2:])
    assert "nearly their inputs. To turn: lower `cut.weight` (now `1.0`); raise `train.steps`" in page
    printed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("found: ")]
    assert [line.split(".")[0] for line in printed] == ["found: copies of the input", "found: saturated discriminator"]
