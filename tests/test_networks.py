"""Generator and discriminator against outputs and checkpoint names of the public CUT family."""

from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch

from gcl.networks.generator import Generator
from gcl.networks.layers import BlurUpsample, InstanceNorm2d, count_parameters
from gcl.networks.patch_discriminator import Discriminator

GOLDEN = np.load(Path(__file__).parent / "golden" / "networks_golden.npz")


def public_weights(network):
    prefix = f"{network}/"
    return {
        name.removeprefix(prefix): torch.from_numpy(GOLDEN[name]) for name in GOLDEN.files if name.startswith(prefix)
    }


@pytest.mark.parametrize(
    "name, network",
    [("generator", Generator(channels=4, blocks=6)), ("discriminator", Discriminator(channels=8))],
)
def test_public_checkpoint_gives_golden_output(name, network):
    network.load_state_dict(public_weights(name), strict=True)
    with torch.no_grad():
        output = network(torch.from_numpy(GOLDEN["input"]))
    torch.testing.assert_close(output, torch.from_numpy(GOLDEN[f"{name}_output"]), atol=1e-5, rtol=0)


def test_published_sizes():
    assert count_parameters(Generator()) == 11_378_179
    assert count_parameters(Discriminator()) == 2_764_737


@pytest.mark.parametrize("downsamplings", [1, 2, 3])
@pytest.mark.parametrize("resampling", ["blur", "resize"])
def test_generator_keeps_the_size_and_range(downsamplings, resampling):
    network = Generator(channels=4, blocks=1, downsamplings=downsamplings, resampling=resampling)
    images = torch.rand(2, 3, 3 * network.stride * 4, 5 * network.stride) * 2 - 1
    output = network(images)
    assert output.shape == images.shape
    assert output.abs().max() <= 1


def test_a_residual_generator_starts_from_its_input_and_learns_the_change():
    """With f, everything before the tanh, G(x) = tanh(f(x) + artanh(0.997 x)), and at first f is 0."""
    torch.manual_seed(0)
    network, images = Generator(4, 1, resampling="resize", residual=True), torch.rand(2, 3, 16, 20) * 2 - 1
    torch.testing.assert_close(network(images), 0.997 * images)
    every = torch.arange(256.0).expand(1, 3, 16, 256)
    assert torch.equal((127.5 * (network(every / 127.5 - 1) + 1)).round(), every)
    torch.nn.init.normal_(network.model[-2].weight, std=0.02)
    change = torch.atanh(network(images)) - torch.atanh(0.997 * images)
    torch.testing.assert_close(change, network.model[:-1](images), atol=1e-4, rtol=1e-4)
    assert change.abs().max() > 0.1


def test_spectral_norm_bounds_every_convolution():
    """Whatever its weights grow to, a convolution's largest singular value is 1 once the estimate has caught up."""
    network = Discriminator(channels=8, spectral_norm=True)
    convolutions = [module for module in network.model if isinstance(module, torch.nn.Conv2d)]
    images = torch.rand(2, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        for convolution in convolutions:
            convolution.parametrizations.weight.original.mul_(100)
        for _ in range(50):
            network(images)
        largest = [torch.linalg.matrix_norm(module.weight.flatten(1), ord=2) for module in convolutions]
    torch.testing.assert_close(torch.stack(largest), torch.ones(len(convolutions)), atol=0.02, rtol=0)
    assert count_parameters(network) == count_parameters(Discriminator(channels=8))


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_instance_norm_equals_torchs_and_keeps_the_memory_format(memory_format):
    torch.manual_seed(0)
    images = (3 * torch.randn(3, 5, 8, 6) + 1).contiguous(memory_format=memory_format).requires_grad_()
    gradient = torch.randn(3, 5, 8, 6)
    ours, torchs = InstanceNorm2d()(images), torch.nn.functional.instance_norm(images)
    assert ours.is_contiguous(memory_format=memory_format)
    torch.testing.assert_close(ours, torchs, atol=1e-5, rtol=0)
    found, expected = (torch.autograd.grad(output, images, gradient)[0] for output in (ours, torchs))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@torch.inference_mode()
def test_a_large_picture_is_normalised_by_its_exact_statistics():
    """Added up in float32, as torch's batch normalisation does, a million values would be wrong by 1e-3."""
    images = (torch.randn(2, 3, 1000, 1000) * 0.5 + 0.7).to(memory_format=torch.channels_last)
    normalised = InstanceNorm2d()(images)
    assert normalised.is_contiguous(memory_format=torch.channels_last)
    expected = torch.nn.functional.instance_norm(images.double())
    torch.testing.assert_close(normalised.double(), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("network", [Generator(4, 1), Generator(4, 1, resampling="resize"), Discriminator(4, 2)])
def test_gradients_are_the_same_in_either_memory_format(network):
    """Operations that work in place overwrite nothing that a backward pass needs."""
    network = network.double()
    images = torch.rand(2, 3, 32, 32, dtype=torch.float64) * 2 - 1
    gradients = []
    for memory_format in (torch.contiguous_format, torch.channels_last):
        copy = deepcopy(network).to(memory_format=memory_format)
        given = images.contiguous(memory_format=memory_format).requires_grad_()
        loss = copy(given).square().mean()
        gradients.append(torch.autograd.grad(loss, [given, *copy.parameters()]))
    for mine, its in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, its, atol=1e-10, rtol=0)


def test_upsampling_is_the_transposed_convolution_with_its_filter():
    """Public checkpoints are trained with this one, with repeated borders."""
    network, images = BlurUpsample(4), torch.rand(2, 4, 7, 5)
    padded = torch.nn.functional.pad(images, (1, 1, 1, 1), mode="replicate")
    expected = torch.nn.functional.conv_transpose2d(padded, network.filt, stride=2, padding=3, groups=4)
    torch.testing.assert_close(network(images), expected, atol=1e-6, rtol=0)


def test_under_autocast_images_stay_small_between_the_convolutions():
    """Whatever lies between convolutions changes neither the type, which halves the bytes, nor the memory format."""
    network = Generator(channels=4, blocks=1).to(memory_format=torch.channels_last)
    images = torch.rand(2, 3, 32, 32)
    with torch.autocast("cpu", torch.bfloat16):
        hidden = network.model[0](images)
        for layer in network.model[1:]:
            hidden = layer(hidden)
            assert hidden.dtype == torch.bfloat16 and hidden.is_contiguous(memory_format=torch.channels_last)
