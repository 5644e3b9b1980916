"""A contact sheet shows what several models made of the same inputs, never stretched, and tells what is missing."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from gcl.config import EvaluateConfig
from gcl.images.pixels import to_signed, to_tensor
from gcl.measures.features.feature_sets import FEATURE_SETS
from gcl.measures.metrics import METRICS
from gcl.measures.pair_distances import MOST_DECIBELS
from gcl.measures.rounding import shown
from gcl.scoring.named_images import named_images
from gcl.scoring.pairing import outputs_by_partner
from pipeline.cli import app
from pipeline.commands.pictures import Features
from pipeline.pictures.captions import distances_to_input
from pipeline.pictures.contact_sheet import folder_labels
from pipeline.pictures.drawing import SIDE, Cell, draw_sheet, thumbnail
from pipeline.pictures.measuring import DEFAULTS


def paint(path, colour, size=(64, 64)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path, lossless=True)
    return path


def box(sheet, colour):
    """Where ``colour`` is in the sheet (left, top, width, height), if that is a rectangle."""
    rows, columns = np.nonzero((np.asarray(sheet) == colour).all(axis=-1))
    width, height = np.ptp(columns) + 1, np.ptp(rows) + 1
    assert len(rows) == width * height
    return columns.min(), rows.min(), width, height


def run(*arguments):
    result = CliRunner().invoke(app, ["contact-sheet", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


@pytest.fixture
def folders(tmp_path):
    """Inputs a and b/c, of which one model has both in its own way of naming, and the other only c."""
    paint(tmp_path / "in/a.bmp", (200, 0, 0), (80, 40))
    paint(tmp_path / "in/b/c.tif", (0, 200, 0), (30, 60))
    paint(tmp_path / "cut/a_fake_B.png", (200, 0, 1), (80, 40))
    paint(tmp_path / "cut/c_fake_B.png", (0, 200, 1), (30, 60))
    paint(tmp_path / "cut/another.png", (1, 2, 3))
    paint(tmp_path / "gcl/b/c.webp", (0, 200, 2), (600, 300))
    return tmp_path


def test_rows_are_inputs_and_columns_are_models(folders):
    target = folders / "new/sheet.png"
    told = run(folders / "in", folders / "cut", folders / "gcl", "--output", target)
    sheet = Image.open(target)
    first, second = [[box(sheet, (*colour, place)) for place in (0, 1)] for colour in ((200, 0), (0, 200))]
    second.append(box(sheet, (0, 200, 2)))
    assert [place[2:] for place in first] == [(SIDE, SIDE / 2)] * 2
    assert [place[2:] for place in second] == [(SIDE / 2, SIDE), (SIDE / 2, SIDE), (SIDE, SIDE / 2)]
    middles = [[left + width / 2 for left, _, width, _ in row] for row in (first, second)]
    assert middles[0] == middles[1][:2] == sorted(middles[0]) and middles[1] == sorted(middles[1])
    assert {top for _, top, _, _ in first}.pop() < {top for _, top, _, _ in second}.pop()
    assert (np.asarray(sheet) != (1, 2, 3)).any(axis=-1).all()
    assert f"drew 2 of 2 inputs: {target}" in told and "note: gcl lacks 1 of 2 inputs: a.bmp" in told
    assert "note: cut: 1 of 3 belong to no input and are left out: another.png" in told
    before = target.read_bytes()
    run(folders / "in", folders / "cut", folders / "gcl", "--output", target)
    assert target.read_bytes() == before


def test_more_inputs_than_rows_are_shown_evenly_spread(tmp_path):
    for number in range(20):
        paint(tmp_path / f"in/{number:02}.png", (number, 100, 100))
        if number:
            paint(tmp_path / f"out/{number:02}.jpg", "white")
    run(tmp_path / "in", tmp_path / "out", "--output", tmp_path / "sheet.png", "--count", 3)
    pixels = np.asarray(Image.open(tmp_path / "sheet.png")).reshape(-1, 3)
    drawn = {int(red) for red, *others in np.unique(pixels, axis=0) if others == [100, 100]}
    assert drawn == {1, 10, 19}


def test_names_pair_whatever_they_are(tmp_path):
    names = ["dog", "dog_fake", "näme with spaces, 100%", "a.b", "deep/er/x", "1/same", "2/same"]
    for name in names:
        paint(tmp_path / f"in/{name}.jpg", "red")
    inputs, _ = named_images(tmp_path / "in")
    assert list(inputs) == sorted(name.replace("/", "_") for name in names)
    written = {name: paint(tmp_path / f"out/{name}_fake_B.png", "blue") for name in names[1:4]}
    written["dog"] = paint(tmp_path / "out/dog.PNG", "blue")
    written["deep_er_x"] = paint(tmp_path / "out/flat/x_fake.gif", "blue")
    written["1_same"] = paint(tmp_path / "out/1/same.png", "blue")
    # Both inputs called so could be meant.
    written["same"] = paint(tmp_path / "out/same.png", "blue")
    assert outputs_by_partner(named_images(tmp_path / "out")[0], [inputs]) == written


def test_a_score_pairs_as_a_sheet_does(tmp_path):
    """Outputs have their inputs' colours, so that all pairs are equal only if each is of the same picture."""
    names = {"a.bmp": "a_fake_B.png", "b/c.png": "c_fake.gif", "d/e.png": "d_e.webp", "f/g.png": "f/g.png"}
    colours = {name: (200, 60 * place, 0) for place, name in enumerate(names)}
    for name, output in names.items():
        paint(tmp_path / "in" / name, colours[name])
        paint(tmp_path / "out" / output, colours[name])
    paint(tmp_path / "in/without.png", (0, 0, 250))
    paint(tmp_path / "out/extra.png", (0, 250, 0))
    told = run(tmp_path / "in", tmp_path / "out", "--output", tmp_path / "sheet.png")
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    for colour in colours.values():
        rows = np.nonzero((sheet == colour).all(axis=-1))[0]
        assert (np.ptp(rows) + 1, len(rows)) == (SIDE, 2 * SIDE * SIDE)
    assert "out lacks 1 of 5 inputs: without.png" in told and "left out: extra.png" in told
    options = ["--real", tmp_path / "in", "--truth", tmp_path / "in", "--json", tmp_path / "score.json"]
    words = ["score", str(tmp_path / "out"), *map(str, options)]
    assert CliRunner().invoke(app, words, catch_exceptions=False).exit_code == 0
    score = json.loads((tmp_path / "score.json").read_text())
    (row,) = [row for row in score["metrics"] if row["name"] == "psnr_to_truth"]
    assert row["value"] == MOST_DECIBELS
    assert "outputs: 1 of 5 are not in truth and are left out (extra)" in score["notes"]
    assert "truth: 1 of 5 have no output and are left out (without)" in score["notes"]


def test_labels_tell_folders_apart(tmp_path):
    folders = [tmp_path / name for name in ("one/images/fake_B", "two/images/fake_B", "other", "x/out", "y/out")]
    assert folder_labels(folders) == ["one/images/fake_B", "two/images/fake_B", "other", "x/out", "y/out"]


@pytest.mark.parametrize("columns", [1, 2, 7])
def test_headings_and_lines_stay_in_their_columns(columns):
    cell = Cell(Image.new("RGB", (SIDE, SIDE), "red"), ["l" * 500, "structure_small_to_input 1.234e-05"])
    sheet = np.asarray(draw_sheet(["W" * 500, *["word " * 50] * (columns - 1)], [[cell] * columns] * 2))
    dark = (sheet < 128).all(axis=-1)
    gaps = np.flatnonzero(~dark.any(axis=0) & (sheet == 255).all(axis=(0, 2)))
    for column in range(columns + 1):
        assert set(range(column * (SIDE + 10), column * (SIDE + 10) + 10)) <= set(gaps)
    assert dark.any()


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (64, 64), (300, 200), (3000, 1999)])
def test_thumbnails_are_never_stretched(size):
    small = thumbnail(Image.new("RGB", size))
    assert max(small.size) == SIDE
    assert small.width / small.height == pytest.approx(size[0] / size[1], rel=0.01) or min(small.size) == 1


@torch.no_grad()
def test_lines_are_the_metrics_of_an_evaluation(tmp_path, save_images):
    save_images(tmp_path / "in", 2)
    save_images(tmp_path / "out", 2)
    paint(tmp_path / "out/odd.png", "red", (5, 5))
    pairs = {
        f"nämé {number}": (tmp_path / f"out/image_{number}.png", tmp_path / f"in/image_{number}.png")
        for number in range(2)
    }
    pairs["odd"] = (tmp_path / "out/odd.png", tmp_path / "in/image_0.png")
    paint(tmp_path / "out/large.png", "red", (160, 140))
    pairs["large"] = (tmp_path / "out/large.png", tmp_path / "in/image_0.png")
    pairs["tiny"] = (tmp_path / "out/odd.png", tmp_path / "out/odd.png")
    config = EvaluateConfig(**DEFAULTS)
    lines = distances_to_input(pairs, config, "cpu")
    network = FEATURE_SETS["small"].perceptual(config).network
    metrics = {metric.name_on(FEATURE_SETS["small"]) for metric in METRICS}
    for name in ("nämé 0", "nämé 1"):
        images = [to_signed(to_tensor(file))[None] for file in pairs[name]]
        assert lines[name][0] == f"lpips_small_to_input {shown(network(*images).item())}"
        assert {line.split()[0] for line in lines[name]} <= metrics and len(lines[name]) == 2
    assert lines["odd"] == lines["tiny"] == ["too small to be measured"]
    # A score of the same pair has the same values.
    for folder, image in zip(("only", "its input"), pairs["large"], strict=True):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "large.png").write_bytes(image.read_bytes())
    words = ["score", tmp_path / "only", "--real", tmp_path / "in", "--input", tmp_path / "its input"]
    told = CliRunner().invoke(app, [*map(str, words), "--json", str(tmp_path / "score.json")])
    assert told.exit_code == 0
    scored = json.loads((tmp_path / "score.json").read_text())["metrics"]
    in_pairs = [f"{row['name']} {shown(row['value'])}" for row in scored if row["compares"] == "pairs"]
    assert in_pairs == lines["large"]


def test_the_command_offers_all_features():
    assert set(Features) == FEATURE_SETS.keys()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("in", "gone"), "gone: there is no such folder"),
        (("empty", "cut"), "empty: no images here; files ending in .png"),
        (("in", "cut", "strange"), "strange and in have no names in common; a translation is named like its input, "),
        (("in", "cut", "--output", "cut/sheet.png"), "--output cut/sheet.png is inside cut, among the images to show"),
        (("in", "cut", "--output", "sheet.jpg"), "--output sheet.jpg: the sheet is a PNG; name a file ending in .png"),
        (("in", "cut", "cut/../cut"), "a folder is named twice: cut, cut/../cut"),
        (("in", "cut", "gcl", "--labels", "CUT"), "--labels CUT: one label is needed for each of the 2 folders"),
        (("in", "cut", "gcl", "--labels", "A,A"), "--labels A,A: one label is needed for each of the 2 folders"),
        (
            ("in", "twice"),
            "twice/a.png and twice/old/a_fake.jpg are both outputs for a; leave one of them out, or name",
        ),
        (("in", "damaged"), "damaged/a.png: cannot be decoded: "),
    ],
)
def test_a_mistake_is_told_and_nothing_is_written(folders, monkeypatch, failure, arguments, told):
    (folders / "empty").mkdir()
    paint(folders / "strange/x.png", "red")
    paint(folders / "twice/a.png", "red")
    paint(folders / "twice/old/a_fake.jpg", "red")
    whole = paint(folders / "damaged/a.png", "red").read_bytes()
    (folders / "damaged/a.png").write_bytes(whole[: len(whole) // 2])
    before = sorted(folders.rglob("*"))
    monkeypatch.chdir(folders)
    output = () if "--output" in arguments else ("--output", "sheet.png")
    assert failure("contact-sheet", *arguments, *output).startswith(f"error: {told}")
    assert sorted(folders.rglob("*")) == before
