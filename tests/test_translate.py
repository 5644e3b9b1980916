"""The translate stage and its command: folders, single images and notes; no file of somebody else is replaced."""

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from gcl.errors import UserError
from gcl.images.finding import find_images
from gcl.images.pixels import to_tensor
from gcl.networks import inference
from gcl.networks.model_folder import save_generator
from pipeline.cli import app
from pipeline.stages.translate import translate
from tests.models import SIZES, save_model, small_generator


@pytest.fixture
def generator():
    return small_generator()


@pytest.fixture
def model(tmp_path, generator):
    return save_model(tmp_path / "model", generator)


def contents(folder):
    """The bytes of every file in ``folder`` by its name; for a link, where it leads."""
    files = (path for path in folder.rglob("*") if path.is_symlink() or path.is_file())
    return {
        str(path.relative_to(folder)): str(path.readlink()) if path.is_symlink() else path.read_bytes()
        for path in files
    }


@pytest.fixture
def photographs(tmp_path, save_images):
    """A folder with images, a folder of images inside it, a hidden folder and a text file."""
    folder = tmp_path / "photographs"
    save_images(folder, 2, size=(21, 18), suffix=".bmp")
    save_images(folder / "more" / "v1.2", 1, size=(9, 30), suffix=".jpg")
    save_images(folder / ".thumbnails", 1)
    (folder / "notes.txt").write_text("mine")
    return folder


def test_a_nested_folder_is_mirrored_and_a_second_translation_takes_the_place_of_the_first(
    tmp_path, model, photographs, save_images
):
    translate("cpu", model, photographs, tmp_path / "out")
    names = {"image_0.png", "image_1.png", "more/v1.2/image_0.png"}
    assert contents(tmp_path / "out").keys() == names | {".gcl-output"}
    assert Image.open(tmp_path / "out/more/v1.2/image_0.png").size == (9, 30)
    save_images(tmp_path / "others", 1)
    translate("cpu", model, tmp_path / "others", tmp_path / "out")
    assert contents(tmp_path / "out").keys() == {"image_0.png", ".gcl-output"}


FRAMES = {"save_all": True, "append_images": [Image.new("RGB", (21, 18), "red")]}


@pytest.mark.parametrize("large", [False, True], ids=["on a core each", "one after the other"])
def test_what_was_left_out_and_passed_over_is_told(tmp_path, model, photographs, monkeypatch, capsys, large):
    monkeypatch.setattr(inference, "LARGE_IMAGE", 1 if large else 1 << 20)
    Image.new("RGB", (21, 18)).save(photographs / "moving.gif", **FRAMES)
    Image.new("RGB", (21, 18)).save(photographs / "more/pages.tif", **FRAMES)
    Image.new("RGB", (21, 18)).save(photographs / "plain.jfif", format="JPEG")
    Image.new("RGB", (21, 18)).save(photographs / "plain 2.avif")
    (photographs / "IMG_1.HEIC").write_bytes(b"x")
    (photographs / "circle").symlink_to(photographs)
    translate("cpu", model, photographs, tmp_path / "out")
    assert {"moving.png", "more/pages.png", "plain.png", "plain 2.png"} < contents(tmp_path / "out").keys()
    assert capsys.readouterr().out.splitlines() == [
        f"translated 7 images: {tmp_path / 'out'}",
        "note: 3 other entries ignored (.heic: 1, .txt: 1, link to a folder: 1); convert HEIC to JPEG or PNG",
        "note: 2 with several frames or pages, of which only the first is used (more/pages.tif, moving.gif)",
    ]
    translate("cpu", model, photographs / "moving.gif", tmp_path / "one.png")
    assert capsys.readouterr().out.splitlines() == [
        f"translated 1 image: {tmp_path / 'one.png'}",
        "note: 1 with several frames or pages, of which only the first is used (moving.gif)",
    ]


def test_a_broken_link_to_an_image_is_told(tmp_path, model, photographs):
    (photographs / "gone.png").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"gone\.png: not a file, or a broken link"):
        translate("cpu", model, photographs, tmp_path / "out")


@pytest.mark.parametrize(
    "output, written",
    [("zebra.png", "zebra.png"), ("new/deep.PNG", "new/deep.PNG"), ("out", "out/image_0.png"), (".", "image_0.png")],
)
def test_one_image_becomes_one_file(tmp_path, model, photographs, output, written):
    place = tmp_path / "place"
    place.mkdir()
    translate("cpu", model, photographs / "image_0.bmp", place / output)
    assert contents(place).keys() == {written}
    assert Image.open(place / written).size == (21, 18)


def test_the_command_needs_no_project(tmp_path, model, photographs, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = ["translate", "--model", "model", "--input", "photographs", "--output", "out"]
    told = CliRunner().invoke(app, arguments)
    assert told.exit_code == 0 and "translated 3 images: out" in told.output
    missing = CliRunner().invoke(app, [*arguments, "--params", "absent.yaml"])
    assert isinstance(missing.exception, UserError) and "absent.yaml" in str(missing.exception)
    (tmp_path / "params.yaml").write_text("train: {}\n")
    wrong = CliRunner().invoke(app, arguments)
    assert isinstance(wrong.exception, UserError) and "params.yaml" in str(wrong.exception)


def link_to_the_folder(folder):
    (folder.parent / "link").symlink_to(folder)
    return folder.parent / "link"


def folder_of_what_a_link_leads_to(folder):
    """The folder of an earlier translation, which holds the file that an input links to."""
    earlier = folder.parent / "earlier"
    earlier.mkdir()
    (folder / "image_1.bmp").rename(earlier / "image_1.bmp")
    (folder / "image_1.bmp").symlink_to(earlier / "image_1.bmp")
    (earlier / ".gcl-output").write_text("image_1.bmp\n")
    return earlier


@pytest.mark.parametrize(
    "output, told",
    [
        (lambda folder: folder, "holds the images"),
        (lambda folder: folder.parent, "holds the images"),
        (lambda folder: folder / "more", "holds the images"),
        (lambda folder: folder / "out", "among the images"),
        (link_to_the_folder, "holds the images"),
        (lambda folder: link_to_the_folder(folder) / "out", "among the images"),
        (folder_of_what_a_link_leads_to, "holds the images"),
        (lambda folder: folder / "notes.txt", "among the images"),
        (lambda folder: folder.parent / "model", r"model\.json|generator\.safetensors"),
    ],
)
def test_a_folder_never_takes_the_place_of_inputs_or_of_other_files(tmp_path, model, photographs, output, told):
    (model / ".gcl-output").touch()
    target = output(photographs)
    before = contents(tmp_path)
    with pytest.raises(UserError, match=told):
        translate("cpu", model, photographs, target)
    assert contents(tmp_path) == before


def test_a_file_that_was_put_among_translations_stays(tmp_path, model, photographs):
    translate("cpu", model, photographs, tmp_path / "out")
    (tmp_path / "out/more/mine.png").write_bytes(b"mine")
    before = contents(tmp_path)
    with pytest.raises(UserError, match=r"mine\.png: gcl translate did not write"):
        translate("cpu", model, photographs, tmp_path / "out")
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    "output, told",
    [
        ("photographs/image_0.png", "exists already"),
        ("photographs", "exists already"),
        ("link.png", "exists already"),
        ("dangling.png", "exists already"),
        ("out.jpg", "written as PNG"),
        ("out.gif", "written as PNG"),
    ],
)
def test_one_image_never_takes_the_place_of_another_file(tmp_path, model, photographs, output, told):
    original = photographs / "image_0.png"
    (photographs / "image_0.bmp").rename(original)
    (tmp_path / "link.png").symlink_to(original)
    (tmp_path / "dangling.png").symlink_to(tmp_path / "nowhere")
    before = contents(tmp_path)
    with pytest.raises(UserError, match=told):
        translate("cpu", model, original, tmp_path / output)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("name", [".", "image_0.bmp"])
def test_a_translation_that_is_not_finite_is_refused_and_nothing_is_left(tmp_path, generator, model, photographs, name):
    with torch.no_grad():
        # The weights are finite, but their sums are not.
        generator.model[1].weight.fill_(3e38)
    save_generator(model, generator, {"generator": SIZES})
    before = contents(tmp_path)
    with pytest.raises(UserError, match=rf"image_0\.bmp: its translation holds .*, by {model} in precision 32-true"):
        translate("cpu", model, photographs / name, tmp_path / "out")
    assert contents(tmp_path) == before


@pytest.mark.parametrize("name", [".", "more/v1.2/image_0.jpg"])
def test_an_unreadable_image_is_named_and_nothing_is_left(tmp_path, model, photographs, name):
    broken = photographs / "more/v1.2/image_0.jpg"
    broken.write_bytes(broken.read_bytes()[:100])
    before = contents(tmp_path)
    with pytest.raises(UserError, match=r"more/v1\.2/image_0\.jpg: "):
        translate("cpu", model, photographs / name, tmp_path / "out")
    assert contents(tmp_path) == before


def test_what_is_not_there_is_told(tmp_path, model):
    with pytest.raises(UserError, match="no such file or folder"):
        translate("cpu", model, tmp_path / "absent", tmp_path / "out")


def test_a_precision_that_does_not_exist_is_told_with_its_file(generator, photographs, tmp_path):
    save_generator(tmp_path, generator, {"generator": SIZES, "train": {"precision": "8-bit"}})
    with pytest.raises(UserError, match=r"model\.json: train\.precision '8-bit' is not in 32-true"):
        translate("cpu", tmp_path, photographs, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_two_images_of_one_folder_that_would_become_one_are_told(tmp_path, model, photographs):
    Image.open(photographs / "image_0.bmp").save(photographs / "image_0.webp")
    with pytest.raises(UserError, match=r"would both become image_0\.png"):
        translate("cpu", model, photographs, tmp_path / "out")


@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
def test_a_model_translates_in_the_precision_that_it_was_trained_in(generator, photographs, tmp_path, precision):
    """bfloat16 has eight bits per number, so pixels differ, but not by much. On a CPU, 16-mixed also means bfloat16."""
    described = {"float32": {}, "half": {"train": {"precision": precision}}}
    for name, description in described.items():
        (tmp_path / name).mkdir()
        save_generator(tmp_path / name, generator, {"generator": SIZES, **description})
        translate("cpu", tmp_path / name, photographs, tmp_path / f"{name}_out")
    float32, half = (find_images(tmp_path / f"{name}_out")[0] for name in described)
    differences = [
        (to_tensor(ours).float() - to_tensor(its).float()).abs().mean().item()
        for ours, its in zip(float32, half, strict=True)
    ]
    assert all(0 < difference < 5 for difference in differences)
