"""The ONNX file gives the same outputs as torch for any number and size; a file that differs is not written."""

import json

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from gcl.errors import UserError
from gcl.exchange.onnx_export import export_onnx
from gcl.networks.generator import Generator
from gcl.networks.inference import translate_image
from gcl.networks.model_folder import save_generator
from pipeline.cli import app
from tests.conftest import ROOT


def generator(resampling, residual=False):
    torch.manual_seed(0)
    network = Generator(channels=4, blocks=1, downsamplings=2, resampling=resampling, residual=residual)
    # The published initialisation is so small that all outputs would be alike.
    for parameter in network.parameters():
        if parameter.ndim == 4:
            nn.init.kaiming_normal_(parameter)
    return network.eval()


@pytest.fixture(scope="module", params=[("blur", False), ("resize", False), ("resize", True)], ids=str)
def exported(request, tmp_path_factory):
    """A generator and the ONNX file that the command makes of its model folder."""
    folder = tmp_path_factory.mktemp("model")
    resampling, residual = request.param
    sizes = {"channels": 4, "blocks": 1, "downsamplings": 2, "resampling": resampling, "residual": residual}
    network = generator(resampling, residual)
    save_generator(folder, network, {"generator": sizes})
    target = folder / "new" / "model.onnx"
    told = CliRunner().invoke(app, ["export", "--onnx", str(target), "--model", str(folder)])
    assert told.exit_code == 0 and str(target) in told.output
    return network, target


def test_any_number_and_size_gives_what_torch_gives(exported):
    network, path = exported
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for shape in [(1, 3, 8, 8), (4, 3, 16, 44), (2, 3, 65, 97), (1, 3, 64, 64), (1, 3, 1, 7), (3, 3, 17, 2)]:
        images = torch.rand(shape) * 2 - 1
        expected = translate_image(network, images).numpy()
        (found,) = session.run(None, {"image": images.numpy()})
        assert expected.std() > 0.1
        np.testing.assert_allclose(found, expected, atol=1e-4, rtol=0)


def test_a_single_pixel_is_translated(exported):
    """Its value is not compared: in an image without contrast, normalisation only amplifies rounding errors."""
    session = onnxruntime.InferenceSession(exported[1], providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"image": np.zeros((1, 3, 1, 1), np.float32)})
    assert found.shape == (1, 3, 1, 1) and np.isfinite(found).all()


@pytest.mark.parametrize("downsamplings", [1, 4])
def test_any_number_of_downsamplings_is_exported(tmp_path, downsamplings):
    assert export_onnx(Generator(4, 1, downsamplings, "blur"), tmp_path / "model.onnx") < 1e-4


def test_outputs_that_are_not_finite_are_not_written(tmp_path):
    network = generator("resize")
    with torch.no_grad():
        network.model[1].bias[0] = float("nan")
    with pytest.raises(UserError, match="not written, since its outputs differ by nan"):
        export_onnx(network, tmp_path / "model.onnx")


def test_a_generator_that_has_translated_is_exported_as_well(tmp_path):
    """Translating leaves its convolutions channels last, and then images are normalised one by one."""
    network = generator("blur").to(memory_format=torch.channels_last)
    assert export_onnx(network, tmp_path / "model.onnx") < 1e-4


def test_the_file_says_what_goes_in_and_comes_out(exported):
    session = onnxruntime.InferenceSession(exported[1], providers=["CPUExecutionProvider"])
    (image,), (translated,) = session.get_inputs(), session.get_outputs()
    assert (image.name, translated.name) == ("image", "translated")
    assert image.shape == translated.shape == ["batch", 3, "height", "width"]
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["input_range"]) == json.loads(metadata["output_range"]) == [-1, 1]
    assert metadata["size"] == "any height and width"
    assert "bytes per pixel" in metadata["memory"] and "sees the whole picture" in metadata["tiles"]


def test_the_file_is_alone_and_tells_no_paths(exported):
    assert [path.name for path in exported[1].parent.iterdir()] == ["model.onnx"]
    content = exported[1].read_bytes()
    assert str(ROOT).encode() not in content and b"site-packages" not in content


class Noise(nn.ReLU):
    """A layer that is never the same twice, so that no two programs agree."""

    def forward(self, images):
        return images + torch.randn_like(images)


def test_a_file_that_differs_is_not_written(tmp_path):
    network = generator("resize")
    network.model.insert(len(network.model) - 1, Noise())
    with pytest.raises(UserError, match="not written, since its outputs differ"):
        export_onnx(network, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_other_files_are_not_overwritten_by_mistake(tmp_path):
    (tmp_path / "photo.png").write_bytes(b"mine")
    with pytest.raises(UserError, match=r"ends in \.onnx"):
        export_onnx(generator("resize"), tmp_path / "photo.png")
    assert (tmp_path / "photo.png").read_bytes() == b"mine"
