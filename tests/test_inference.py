"""Saving, loading and translating: any size comes back, files keep their stems, and damaged models are refused."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from gcl.errors import UserError
from gcl.images.decoding import list_images
from gcl.images.pixels import to_pixels, to_signed, to_tensor
from gcl.networks import inference
from gcl.networks.inference import translate_folder, translate_image
from gcl.networks.model_folder import load_generator
from tests.models import save_model, small_generator


@pytest.fixture
def generator():
    return small_generator()


@pytest.fixture
def model(tmp_path, generator):
    return save_model(tmp_path / "model", generator)


def test_a_saved_model_translates_alike(generator, model):
    images = torch.rand(2, 3, 16, 24) * 2 - 1
    assert torch.equal(translate_image(load_generator(str(model)), images), translate_image(generator, images))
    assert sorted(path.name for path in model.iterdir()) == ["README.md", "generator.safetensors", "model.json"]


@pytest.mark.parametrize("size", [(16, 16), (17, 23), (5, 64), (31, 8), (1, 1), (2, 300)])
def test_any_size_comes_back_as_it_was(generator, size):
    images = torch.rand(1, 3, *size) * 2 - 1
    translated = translate_image(generator, images)
    assert translated.shape == images.shape
    assert not translated.requires_grad


def test_padding_leaves_multiples_of_the_stride_alone(generator):
    images = torch.rand(1, 3, 16, 20) * 2 - 1
    with torch.no_grad():
        assert torch.equal(translate_image(generator, images), generator(images))


def test_a_folder_becomes_png_of_the_same_stems(tmp_path, generator, save_images):
    save_images(tmp_path / "in", 3, size=(21, 18), suffix=".bmp")
    (tmp_path / "out").mkdir()
    translations = translate_folder(generator, tmp_path / "in", tmp_path / "out", torch.device("cpu"))
    written = [translation.path for translation in translations]
    assert [path.name for path in written] == ["image_0.png", "image_1.png", "image_2.png"]
    assert sorted((tmp_path / "out").iterdir()) == written
    source = to_signed(to_tensor(list_images(tmp_path / "in")[1])).unsqueeze(0)
    expected = to_pixels(translate_image(generator, source))[0].permute(1, 2, 0).numpy()
    assert np.array_equal(np.asarray(Image.open(written[1])), expected)
    assert expected.std() > 1


def test_large_images_among_small_ones_come_in_order_and_alike(tmp_path, generator, save_images, monkeypatch):
    monkeypatch.setattr(inference, "LARGE_IMAGE", 40 * 40)
    for name, size in {"a": (20, 16), "b": (40, 40), "c": (24, 24), "d": (60, 44)}.items():
        save_images(tmp_path / "in" / name, 1, size=size)
    translations = translate_folder(generator, tmp_path / "in", tmp_path / "out", torch.device("cpu"))
    written = [translation.path for translation in translations]
    assert [path.parent.name for path in written] == ["a", "b", "c", "d"]
    for path in written:
        name = path.parent.name
        inference.translate_file(generator, tmp_path / f"in/{name}/image_0.png", tmp_path / name, torch.device("cpu"))
        assert path.read_bytes() == (tmp_path / name).read_bytes()


def test_nothing_to_translate_is_told_with_what_there_is(tmp_path, generator):
    (tmp_path / "photo.heic").write_bytes(b"x")
    (tmp_path / "notes.txt").write_text("mine")
    told = r"no images to translate; files ending in \.png .* are read; 2 other entries .* \(\.heic: 1, \.txt: 1\)"
    with pytest.raises(UserError, match=told):
        list(translate_folder(generator, tmp_path, tmp_path, torch.device("cpu")))


def damage_json(folder):
    (folder / "model.json").write_text("{")


def damage_weights(folder):
    weights = folder / "generator.safetensors"
    weights.write_bytes(weights.read_bytes()[:200])


def other_size(folder):
    description = json.loads((folder / "model.json").read_text())
    description["generator"]["blocks"] = 2
    (folder / "model.json").write_text(json.dumps(description))


def other_format(folder):
    (folder / "model.json").write_text('{"format": 99}')


@pytest.mark.parametrize(
    "damage, told",
    [
        (lambda folder: (folder / "model.json").unlink(), "gcl train"),
        (lambda folder: (folder / "generator.safetensors").unlink(), "file is missing"),
        (damage_json, "not JSON"),
        (damage_weights, "generator.safetensors"),
        (other_size, "generator.safetensors"),
        (other_format, "format 99"),
    ],
)
def test_damaged_models_are_told(model, damage, told):
    damage(model)
    with pytest.raises(UserError, match=told):
        load_generator(model)
