"""Loading models and importing published ones: what fits is used, what does not is refused, and no pickle is run."""

import hashlib
import json
import os
import pickle
import subprocess
import sys
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from gcl.errors import UserError
from gcl.exchange.public_checkpoints import import_checkpoint
from gcl.networks.encoders import load_encoder
from gcl.networks.generator import Generator
from gcl.networks.inference import translate_image
from gcl.networks.model_folder import load_generator, load_weights, save_generator, save_weights
from gcl.networks.patch_discriminator import Discriminator
from pipeline.cli import app
from tests.project import ROOT
from tests.test_networks import GOLDEN, public_weights

SIZES = {"channels": 4, "blocks": 2, "downsamplings": 2, "resampling": "blur"}


@pytest.fixture
def saved(tmp_path):
    """saved(contents) writes them to a .pth file and returns its path."""

    def save(contents, **options):
        torch.save(contents, tmp_path / "latest_net_G.pth", **options)
        return tmp_path / "latest_net_G.pth"

    return save


@pytest.mark.parametrize(
    "change, told",
    [
        ({"blocks": 9}, "expected 9 residual blocks, found 2"),
        ({"channels": 64}, "expected 64 base channels, found 4"),
        ({"downsamplings": 1}, "expected 1 downsamplings, found 2"),
        ({"resampling": "resize"}, "expected resize resampling, found blur"),
        ({"channels": 8, "blocks": 3}, "expected 8 base channels, found 4; expected 3 residual blocks, found 2"),
    ],
)
def test_weights_of_another_size_are_told_by_their_sizes(tmp_path, change, told):
    save_generator(tmp_path, Generator(**SIZES), {"generator": {**SIZES, **change}})
    with pytest.raises(UserError) as refused:
        load_generator(tmp_path)
    assert str(refused.value).endswith(f"expected: {told}")


def test_other_entries_are_told_by_a_few_names(tmp_path):
    save_weights(nn.Sequential(nn.Linear(2, 3), *(nn.Linear(3, 3) for _ in range(4))), tmp_path / "w.safetensors")
    with pytest.raises(UserError) as refused:
        load_weights(nn.Sequential(nn.Linear(2, 2)), tmp_path / "w.safetensors")
    assert "0.weight has shape (3, 2) instead of (2, 2); 0.bias has shape (3,) instead of (2,)" in str(refused.value)
    assert str(refused.value).endswith("1.bias is unexpected; 1.weight is unexpected; and 6 more")
    with pytest.raises(UserError, match=r"expected: 5\.weight is missing; 5\.bias is missing$"):
        load_weights(nn.Sequential(nn.Linear(2, 3), *(nn.Linear(3, 3) for _ in range(5))), tmp_path / "w.safetensors")


@pytest.mark.parametrize(
    "arguments, told",
    [
        (None, "generator: "),
        ({**SIZES, "blocks": 0}, "generator.blocks"),
        ({**SIZES, "resampling": "cubic"}, "generator.resampling"),
        ({**SIZES, "depth": 3}, "generator.depth"),
    ],
)
def test_a_description_of_no_generator_is_told(tmp_path, arguments, told):
    save_generator(tmp_path, Generator(**SIZES), {"generator": arguments})
    with pytest.raises(UserError, match=f"model.json.*{told}"):
        load_generator(tmp_path)


@pytest.mark.parametrize("sizes", [{"blocks": 10**6}, {"blocks": 100, "channels": 512, "downsamplings": 4}])
def test_sizes_that_somebody_made_up_take_no_memory(tmp_path, sizes):
    save_generator(tmp_path, Generator(**SIZES), {"generator": {**SIZES, **sizes}})
    code = (
        "import resource; from gcl import load_generator; from gcl.errors import UserError\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try:\n    load_generator('.')\nexcept UserError as error:\n    print(error)\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)"
    )
    command = [sys.executable, "-W", "ignore", "-c", code]
    told = subprocess.check_output(command, cwd=tmp_path, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert "residual blocks, found 2" in told or "generator.blocks: Input should be less than or equal" in told
    assert int(told.split()[-1]) < 200


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(tmp_path, saved, value):
    generator = Generator(**SIZES)
    with torch.no_grad():
        generator.model[1].bias[0] = value
    save_generator(tmp_path, generator, {"generator": SIZES})
    with pytest.raises(UserError, match=r"generator\.safetensors: values that are not finite in model\.1\.bias"):
        load_generator(tmp_path)
    with pytest.raises(UserError, match=r"latest_net_G\.pth: values that are not finite in model\.1\.bias"):
        import_checkpoint(saved(generator.state_dict()), tmp_path / "model")
    assert not (tmp_path / "model").exists()


class Evil:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_pickle_in_place_of_our_weights_is_not_run(tmp_path):
    save_generator(tmp_path, Generator(**SIZES), {"generator": SIZES})
    torch.save(Evil(tmp_path / "ran"), tmp_path / "generator.safetensors")
    with pytest.raises(UserError, match="not a readable safetensors file"):
        load_generator(tmp_path)
    assert not (tmp_path / "ran").exists()


def with_module(weights):
    return OrderedDict((f"module.{name}", tensor) for name, tensor in weights.items())


@pytest.mark.parametrize(
    "wrap, options",
    [
        (OrderedDict, {}),
        (OrderedDict, {"_use_new_zipfile_serialization": False}),
        (with_module, {}),
        (lambda weights: {"state_dict": weights, "epoch": 400}, {}),
        (lambda weights: {"netG": with_module(weights), "netD": public_weights("discriminator")}, {}),
    ],
)
def test_a_published_generator_is_imported_and_gives_golden_output(tmp_path, saved, wrap, options):
    checkpoint = saved(wrap(public_weights("generator")), **options)
    told = CliRunner().invoke(app, ["import-checkpoint", str(checkpoint), "--target", str(tmp_path / "model")])
    assert told.exit_code == 0 and "channels 4, blocks 6, downsamplings 2, resampling blur" in told.output
    translated = translate_image(load_generator(tmp_path / "model"), torch.from_numpy(GOLDEN["input"]))
    np.testing.assert_allclose(translated.numpy(), GOLDEN["generator_output"], atol=1e-5, rtol=0)
    assert {path.name for path in (tmp_path / "model").glob("[!.]*")} == {
        "README.md",
        "generator.safetensors",
        "model.json",
    }
    assert json.loads((tmp_path / "model/model.json").read_text()) == {
        "format": 1,
        "generator": {"channels": 4, "blocks": 6, "downsamplings": 2, "resampling": "blur"},
        "origin": {"file": "latest_net_G.pth", "sha256": hashlib.sha256(checkpoint.read_bytes()).hexdigest()},
    }


@pytest.mark.parametrize("resampling", ["blur", "resize"])
@pytest.mark.parametrize("downsamplings", [1, 3])
def test_sizes_are_read_off_the_weights(tmp_path, saved, resampling, downsamplings):
    sizes = {"channels": 3, "blocks": 5, "downsamplings": downsamplings, "resampling": resampling}
    original = Generator(**sizes).eval()
    assert import_checkpoint(saved(original.state_dict()), tmp_path / "model")["generator"] == sizes
    images = torch.rand(1, 3, 16, 24) * 2 - 1
    assert torch.equal(translate_image(load_generator(tmp_path / "model"), images), original(images))


def test_another_filter_than_that_of_interpolation_is_told(tmp_path, saved):
    weights = Generator(**SIZES).state_dict()
    name = next(name for name in weights if name.endswith(".filt") and weights[name].shape[-1] == 4)
    weights[name] = weights[name].roll(1, dims=2)
    with pytest.raises(UserError, match=f"{name} is not the filter"):
        import_checkpoint(saved(weights), tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_weights_in_half_precision_are_imported(tmp_path, saved):
    half = {name: weight.half() for name, weight in Generator(**SIZES).state_dict().items()}
    assert import_checkpoint(saved(half), tmp_path / "model")["generator"] == SIZES


def with_statistics(weights, entries):
    """Adds ``entries`` for every normalisation, the layer after a convolution, as torch before 0.4 saved statistics."""
    layers = {name.rpartition(".")[0] for name in weights if name.endswith(".weight")}
    following = [f"{layer.rpartition('.')[0]}.{int(layer.rpartition('.')[2]) + 1}" for layer in layers]
    return weights | {f"{layer}.{entry}": torch.zeros(4) for layer in following for entry in entries}


def test_running_statistics_of_old_checkpoints_are_dropped(tmp_path, saved):
    original = Generator(**SIZES).eval()
    old = with_statistics(original.state_dict(), ["running_mean", "running_var", "num_batches_tracked"])
    told = CliRunner().invoke(app, ["import-checkpoint", str(saved(old)), "--target", str(tmp_path / "model")])
    dropped = len(old) - len(original.state_dict())
    assert told.exit_code == 0 and f"dropped {dropped} running statistics" in told.output
    images = torch.rand(1, 3, 16, 24) * 2 - 1
    assert torch.equal(translate_image(load_generator(tmp_path / "model"), images), original(images))


def test_normalisations_with_weights_are_refused(tmp_path, saved):
    other = with_statistics(Generator(**SIZES).state_dict(), ["running_mean", "running_var", "weight", "bias"])
    with pytest.raises(UserError, match="its normalisations have weights of their own"):
        import_checkpoint(saved(other), tmp_path / "model")


def save_old(contents, path):
    torch.save(contents, path, _use_new_zipfile_serialization=False)


def load_trusting(path):
    return torch.load(path, weights_only=False)


@pytest.mark.parametrize(
    "write, read",
    [
        (torch.save, load_trusting),
        (save_old, load_trusting),
        (
            lambda contents, path: path.write_bytes(pickle.dumps(contents, 2)),
            lambda path: pickle.loads(path.read_bytes()),
        ),
    ],
)
def test_a_malicious_file_runs_nothing_and_is_refused(tmp_path, write, read):
    checkpoint, ran, model = tmp_path / "G.pth", tmp_path / "ran", tmp_path / "model"
    write({"model.1.weight": Evil(ran)}, checkpoint)
    with pytest.raises(UserError, match="none of its code was run") as refused:
        import_checkpoint(checkpoint, model)
    assert not ran.exists() and not model.exists()
    assert "weights_only" not in str(refused.value)
    # A careless reader would have run it.
    read(checkpoint)
    assert ran.exists()


def cyclegan_generator():
    """CycleGAN's generator, which upsamples by transposed convolutions and blurs nowhere."""
    layers = Generator(4, 6, 2, "resize").model
    ups = [nn.ConvTranspose2d(16, 8, 3), nn.ConvTranspose2d(8, 4, 3)]
    return nn.Sequential(OrderedDict(model=nn.Sequential(*layers[:16], ups[0], *layers[18:20], ups[1], *layers[22:])))


def biasless():
    return {name: tensor for name, tensor in public_weights("generator").items() if not name.endswith("bias")}


@pytest.mark.parametrize(
    "contents, told",
    [
        (lambda: Discriminator(8).state_dict(), r"model\.0\.weight \(8, 3, 4, 4\)"),
        (lambda: load_encoder("small", ["relu1_1"]).state_dict(), r"features\.0\.weight \("),
        (biasless, r"model\.1\.bias is missing; .*and \d+ more"),
        (lambda: cyclegan_generator().state_dict(), "resampling resize, but .*is missing"),
        (lambda: {"model.1.weight": torch.zeros(4, 3, 7, 7)}, "greater than or equal to 1"),
        (lambda: {"A": public_weights("generator"), "B": public_weights("generator")}, "found several: A, B"),
        (lambda: {"epoch": 3}, "found no state dict"),
        (lambda: [torch.zeros(3)], "found a list"),
    ],
)
def test_what_is_no_such_generator_is_refused(tmp_path, saved, contents, told):
    with pytest.raises(UserError, match=f"(?s)expected (a ResNet|one) generator.*{told}"):
        import_checkpoint(saved(contents()), tmp_path / "model")
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("content", [b"", b"hello there", "half", None])
def test_files_that_cannot_be_read_are_refused(tmp_path, saved, content):
    checkpoint = saved(public_weights("generator"))
    if content is None:
        checkpoint.unlink()
    else:
        checkpoint.write_bytes(checkpoint.read_bytes()[:9000] if content == "half" else content)
    with pytest.raises(UserError, match="no such file" if content is None else "cannot be read as weights"):
        import_checkpoint(checkpoint, tmp_path / "model")


def test_an_import_does_not_replace_its_own_checkpoint(tmp_path):
    model = tmp_path / "model"
    torch.save(public_weights("generator"), tmp_path / "G.pth")
    import_checkpoint(tmp_path / "G.pth", model)
    (tmp_path / "G.pth").rename(model / "G.pth")
    with pytest.raises(UserError, match=r"holds G\.pth"):
        import_checkpoint(model / "G.pth", model)
    assert (model / "G.pth").is_file()
