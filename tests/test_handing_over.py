"""The trained generator as a model of MLflow: loaded, served by a real server and registered in a real store."""

import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from importlib.metadata import packages_distributions
from io import BytesIO
from modulefinder import ModuleFinder

import mlflow
import numpy as np
import pytest
import torch
from mlflow import MlflowClient
from PIL import Image

import gcl
from gcl.errors import UserError
from gcl.images.pixels import to_pixels, to_signed
from gcl.networks.inference import translate_file
from gcl.networks.model_folder import load_generator, save_weights
from pipeline.tracking.handing_over import LOADER, REQUIREMENTS, hand_over, save_pyfunc
from pipeline.tracking.run import tracked
from pipeline.tracking.sync import sync_tracking
from tests.models import save_model, small_generator
from tests.stores import empty_store

IDENTITY = {"name": "main", "dataset": "scenes", "tags": {}}
SIZE = 21, 18
"""The width and height of the test image, which are no multiples of the generator's stride."""


@pytest.fixture(scope="module", autouse=True)
def search_path():
    """MLflow puts the code of a model that it loads first, where processes that other tests start would find it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", list(sys.path))
        yield


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A repository root with an empty store, named in the environment, and a model folder."""
    folder = tmp_path_factory.mktemp("root")
    shutil.copy(empty_store(), folder / "mlflow.db")
    save_model(folder / "model", small_generator())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_ROOT", str(folder))
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
        yield folder


@pytest.fixture(scope="module")
def uri(root):
    """The address of a generator in a run."""
    with tracked(IDENTITY) as run:
        hand_over(run, root / "model", "last")
    return f"runs:/{run.run_id}/generator"


@pytest.fixture(scope="module")
def model(uri):
    return mlflow.pyfunc.load_model(uri)


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).integers(0, 256, (*SIZE[::-1], 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def translated(root, image):
    """What the library makes of the image."""
    signed = to_signed(torch.from_numpy(image).permute(2, 0, 1)[None])
    return to_pixels(gcl.translate_image(gcl.load_generator(root / "model"), signed))[0].permute(1, 2, 0).numpy()


def encoded(pixels, kind="PNG"):
    content = BytesIO()
    Image.fromarray(pixels).save(content, format=kind)
    return content.getvalue()


def text(content):
    return base64.b64encode(content).decode()


def pixels_of(content):
    with Image.open(BytesIO(content)) as opened:
        assert opened.format == "PNG"
        return np.asarray(opened)


def test_every_kind_comes_out_as_it_went_in(model, image, translated):
    png = encoded(image)
    assert np.array_equal(pixels_of(model.predict(png)), translated)
    assert np.array_equal(pixels_of(base64.b64decode(model.predict(text(png)))), translated)
    for several in ([png, encoded(image, "TIFF")], [text(png), base64.encodebytes(png).decode()]):
        first, second = model.predict(several)
        assert first == second == model.predict(several[0])
    one, batch = model.predict(image), model.predict(np.stack([image, image]))
    assert one.dtype == batch.dtype == np.uint8
    assert np.array_equal(one, translated) and np.array_equal(batch, [translated, translated])
    assert np.array_equal(model.predict(image.astype(np.int64)), translated)
    assert translated.std() > 1


def test_the_pixels_are_those_of_a_translated_file(root, model, image, tmp_path):
    (tmp_path / "image.png").write_bytes(encoded(image))
    generator = gcl.load_generator(root / "model")
    translate_file(generator, tmp_path / "image.png", tmp_path / "translated.png", torch.device("cpu"))
    assert np.array_equal(np.asarray(Image.open(tmp_path / "translated.png")), model.predict(image))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (3, "an image is expected as the bytes of a PNG, as their base64 text, or as numbers 0 ... 255 in an array"),
        (b"", "the image of 0 bytes: empty file"),
        (b"hello", "the image of 5 bytes: not an image that can be read; PNG, JPEG, "),
        ("hello!", "a text that is not base64"),
        (np.zeros((4, 4), np.uint8), "an array of uint8 and shape .4, 4.; integers 0 ... 255 of shape .H, W, 3. or "),
        (np.zeros((0, 4, 3), np.uint8), "an array of uint8 and shape .0, 4, 3."),
        (np.zeros((4, 4, 3)), "an array of float64 and shape .4, 4, 3."),
        (np.full((4, 4, 3), 256), "an array of int64 and shape .4, 4, 3."),
    ],
)
def test_what_is_no_image_is_told(model, given, told):
    with pytest.raises(UserError, match=told):
        model.predict(given)


def test_the_model_brings_all_code_and_names_all_packages_that_it_needs(uri):
    folder = mlflow.artifacts.download_artifacts(uri)
    finder = ModuleFinder(path=[f"{folder}/code"])
    finder.import_hook(LOADER)
    missing = {name.split(".")[0] for name in finder.badmodules} - set(sys.stdlib_module_names)
    assert "torch" in missing and "gcl" not in missing
    packages = packages_distributions()
    named = {package.lower() for name in missing for package in packages[name]}
    assert named - {"pydantic_core"} | {"mlflow"} == set(REQUIREMENTS)  # pydantic brings pydantic_core
    requirements = mlflow.pyfunc.get_model_dependencies(uri)
    assert {line.split("==")[0] for line in open(requirements)} == set(REQUIREMENTS)


def test_a_server_answers(uri, image, translated, tmp_path):
    """Its own copy of the code has to do, because whatever else is called gcl cannot be imported."""
    (tmp_path / "gcl").mkdir()
    (tmp_path / "gcl/__init__.py").write_text("raise ImportError('not the code of the model')")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", uri, "--env-manager", "local"]
    process = subprocess.Popen(
        [*command, "--port", str(port)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def answer(given):
        body = json.dumps({"inputs": given}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/invocations", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request) as response:
            return json.load(response)["predictions"]

    try:
        while socket.socket().connect_ex(("127.0.0.1", port)) != 0:
            assert process.poll() is None
            time.sleep(0.1)
        assert np.array_equal(pixels_of(base64.b64decode(answer(text(encoded(image))))), translated)
        assert [*map(base64.b64decode, answer([text(encoded(image))] * 2))] == [encoded(translated)] * 2
        assert np.array_equal(answer(image.tolist()), translated)
        assert np.array_equal(answer([image.tolist()] * 2), [translated] * 2)
        with pytest.raises(urllib.error.HTTPError) as refused:
            answer(text(b"hello"))
        assert refused.value.code == 400 and "the image of 5 bytes: not an image" in refused.value.read().decode()
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_it_can_be_registered(uri, image, translated):
    registered = mlflow.register_model(uri, "zebras")
    assert np.array_equal(mlflow.pyfunc.load_model("models:/zebras/1").predict(image), translated)
    assert registered.run_id == uri.split("/")[1]


def test_its_example_can_be_translated(model):
    assert pixels_of(base64.b64decode(model.predict(model.input_example))).shape == (64, 64, 3)


def test_a_dead_server_gets_it_later(root, image, translated, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with tracked(IDENTITY) as run:
        hand_over(run, root / "model", "last")
    assert run.run_id is None
    monkeypatch.undo()
    sync_tracking()
    (found,) = MlflowClient().search_runs(["1"], f"tags.`gcl.key` = '{run.key}'")
    assert np.array_equal(mlflow.pyfunc.load_model(f"runs:/{found.info.run_id}/generator").predict(image), translated)


def test_the_best_checkpoint_is_handed_over_as_such(root, tmp_path):
    best = small_generator()
    with torch.no_grad():
        best.model[1].bias += 1.0
    save_weights(best, root / "model" / "generator_best.safetensors")
    save_pyfunc(root / "model", "best", [], tmp_path / "best")
    handed = load_generator(next((tmp_path / "best").rglob("model.json")).parent).state_dict()
    assert all(torch.equal(weights, handed[name]) for name, weights in best.state_dict().items())


def test_a_model_that_cannot_be_handed_over_is_only_a_warning(root, tmp_path, capsys):
    with tracked(IDENTITY) as run:
        hand_over(run, tmp_path, "last")
    told = capsys.readouterr().out
    assert "warning: the generator was not handed over to MLflow, the run itself goes on: " in told
    assert "generator.safetensors" in told
    assert MlflowClient().get_run(run.run_id).info.status == "FINISHED"
    assert MlflowClient().list_artifacts(run.run_id) == []
