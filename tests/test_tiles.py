"""Tiles: a picture translated band by band equals the picture translated as a whole, within the memory foretold."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from gcl.errors import UserError
from gcl.networks.channel_statistics import ChannelStatistics
from gcl.networks.generator import Generator
from gcl.networks.inference import translate_image
from gcl.tiles.halo import halo
from gcl.tiles.layers import Chain, Rows, Shape, row_layers
from gcl.tiles.maps import Computed, Picture
from gcl.tiles.passes import passes
from gcl.tiles.plan import padded_size, planned, whole_memory
from gcl.tiles.reading import Header
from gcl.tiles.translation import LargePictures
from pipeline.benchmarks.memory import in_new_process, memory_rise

CPU = torch.device("cpu")


def generator(**changed):
    """A small generator whose weights are large enough for differences to show."""
    torch.manual_seed(0)
    sizes = {"channels": 5, "blocks": 2, "downsamplings": 2, "resampling": "resize", "residual": False}
    network = Generator(**sizes | changed)
    for parameter in network.parameters():
        nn.init.xavier_normal_(parameter) if parameter.ndim == 4 else nn.init.normal_(parameter, std=0.3)
    return network.eval()


def noise(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def as_a_whole(network, pixels):
    return translate_image(network, torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 127.5 - 1)


@torch.inference_mode()
def in_bands(network, pixels, rows, folder):
    """The translation of ``pixels`` in bands of so many ``rows``, all of whose files have been deleted."""
    height, width, _ = pixels.shape
    picture = Picture(folder / "picture", height, width, padded_size(network, height, width), CPU)
    pixels.tofile(picture.path)
    *before, last = passes(network, picture)
    for run in before:
        for band in run.bands(rows):
            images = run.map.read(band)
            if run.statistics:
                run.statistics.add(images)
            if run.file:
                run.file.write(band, images)
        for path in run.done:
            path.unlink()
    translated = torch.cat([last.map.read(band) for band in last.bands(rows)], dim=2)
    for path in last.done:
        path.unlink()
    assert list(folder.iterdir()) == []
    return translated[..., :height, :width]


@pytest.mark.parametrize("size", [(2, 3), (37, 53), (64, 48), (9, 70), (70, 9)], ids=str)
@pytest.mark.parametrize("rows", [1, 7, 1000])
@pytest.mark.parametrize("resampling, residual", [("blur", False), ("resize", True)])
def test_bands_of_any_height_equal_the_whole(tmp_path, size, rows, resampling, residual):
    network, pixels = generator(resampling=resampling, residual=residual), noise(*size)
    expected = as_a_whole(network, pixels)
    assert expected.std() > 0.3
    assert (in_bands(network, pixels, rows, tmp_path) - expected).abs().max() < 1e-4


@pytest.mark.parametrize("resampling", ["blur", "resize"])
@pytest.mark.parametrize("downsamplings", [1, 3])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=str)
def test_any_number_of_downsamplings_and_memory_format_equals_the_whole(
    tmp_path, resampling, downsamplings, memory_format
):
    network = generator(downsamplings=downsamplings, resampling=resampling).to(memory_format=memory_format)
    pixels = noise(50, 43)
    assert (in_bands(network, pixels, 8, tmp_path) - as_a_whole(network, pixels)).abs().max() < 1e-4


def test_a_picture_so_large_that_sums_in_float32_lose_digits_equals_the_whole_too(tmp_path):
    network, pixels = generator(blocks=1).to(memory_format=torch.channels_last), noise(900, 1100)
    assert (in_bands(network, pixels, 100, tmp_path) - as_a_whole(network, pixels)).abs().max() < 1e-4


@pytest.mark.parametrize("resampling", ["blur", "resize"])
def test_a_generator_without_instance_normalisation_goes_block_by_block(tmp_path, resampling):
    network, pixels = generator(resampling=resampling, normalization="position"), noise(61, 40)
    picture = Picture(tmp_path / "picture", 61, 40, (64, 40), CPU)
    runs = passes(network, picture)
    assert len(runs) == 1 + 2 + 2 and all(run.statistics is None for run in runs)
    assert (in_bands(network, pixels, 5, tmp_path) - as_a_whole(network, pixels)).abs().max() < 1e-4


@pytest.mark.parametrize("normalization", ["instance", "position"])
def test_bands_hardly_overlap_in_a_large_picture(tmp_path, normalization):
    """The rows of a pass that are read more than once are few."""
    network = generator(channels=24, blocks=4, normalization=normalization)
    for run, rows in plan(network, 10000, 20000, 2 * 10**9, tmp_path).passes:
        given, reads = run.map, []
        if not isinstance(given, Computed):
            continue
        for band in run.bands(rows):
            reads.append(given.chain.spans(band, given.given.shape)[0].count)
        assert sum(reads) < 1.5 * given.given.shape.height


@pytest.mark.parametrize("resampling", ["blur", "resize"])
@torch.inference_mode()
def test_such_a_generator_says_how_far_around_itself_a_tile_has_to_see(resampling):
    network = generator(resampling=resampling, normalization="position").double()
    around, images = halo(network), torch.rand(1, 3, 160, 8, dtype=torch.float64)
    assert around % 4 == 0 and halo(generator(resampling=resampling)) is None
    expected, tile = network(images)[:, :, 80:84], slice(80 - around, 84 + around)
    torch.testing.assert_close(network(images[:, :, tile])[:, :, around : around + 4], expected)
    less = slice(tile.start + 4, tile.stop - 4)
    assert (network(images[:, :, less])[:, :, around - 4 : around] - expected).abs().max() > 1e-12


def test_a_picture_in_bfloat16_is_translated_nearly_alike(tmp_path):
    network, pixels = generator(), noise(40, 32)
    with torch.autocast("cpu", torch.bfloat16):
        translated = in_bands(network, pixels, 8, tmp_path)
    assert (translated.float() - as_a_whole(network, pixels)).abs().mean() < 0.1


def test_an_unknown_layer_is_told(tmp_path):
    network = generator()
    network.model.insert(5, nn.Dropout())
    with pytest.raises(UserError, match="layer Dropout cannot translate in tiles"):
        passes(network, Picture(tmp_path / "picture", 16, 16, (16, 16), CPU))


@pytest.mark.parametrize("layer", [nn.Conv2d(4, 6, 3, stride=2, padding=1), nn.Conv2d(4, 4, 7)], ids=str)
def test_exactly_the_rows_that_a_convolution_reads_are_needed(layer):
    """The oracle is the gradient: of all other rows it is 0, and of the first and last row that are named it is not."""
    images = torch.rand(1, 4, 20, 9, requires_grad=True)
    chain, rows = Chain(row_layers(layer)), Rows(2, 5)
    layer(images)[:, :, 2:5].sum().backward()
    read = images.grad.abs().sum((0, 1, 3)).nonzero().flatten()
    assert chain.spans(rows, Shape(4, 20, 9))[0] == Rows(int(read[0]), int(read[-1]) + 1)


def test_the_statistics_of_bands_are_those_of_the_map_even_far_from_zero():
    images = torch.randn(1, 6, 301, 40) * torch.arange(1.0, 7).view(-1, 1, 1) + 3000
    statistics = ChannelStatistics()
    for band in images.split(64, dim=2):
        statistics.add(band)
    variance, mean = torch.var_mean(images.double(), (0, 2, 3), correction=0)
    torch.testing.assert_close(statistics.mean, mean, rtol=1e-7, atol=0)
    torch.testing.assert_close(statistics.variance, variance, rtol=1e-5, atol=0)


def plan(network, height, width, memory, folder):
    return planned(network, Header(height, width, True, 0), memory, folder, CPU)


def test_less_memory_makes_more_tiles_and_too_little_is_told_with_what_is_enough(tmp_path):
    network = generator(channels=24)
    plans = [plan(network, 4000, 6000, memory, tmp_path) for memory in (2 * 10**9, 2 * 10**8)]
    assert plans[0].tiles < plans[1].tiles
    assert plans[0].memory <= 2 * 10**9 and plans[1].memory <= 2 * 10**8
    with pytest.raises(UserError, match=r"translate\.memory: a picture of 6000 x 4000 .* at least 0\.\d\d GB") as told:
        plan(network, 4000, 6000, 7 * 10**7, tmp_path)
    enough = float(str(told.value).split("at least ")[1].split(" GB")[0])
    assert plan(network, 4000, 6000, int(enough * 1e9), tmp_path).passes[-1].rows >= 1


def rise_in_tiles(folder, memory):
    """The bytes foretold and those by which this process grew."""
    torch.set_num_threads(1)
    foretold, network = [], generator(channels=24, blocks=1)
    with torch.inference_mode():
        network(torch.zeros(1, 3, 32, 32))
    large = LargePictures(network, CPU, memory=memory, tell=lambda source, plan: foretold.append(plan.memory))
    rise = memory_rise(lambda: large.translate(folder / "a.png", folder / f"{memory}.png"), CPU)
    return foretold, rise, whole_memory(network, 700, 900)


def test_the_memory_that_is_foretold_is_what_is_taken(tmp_path, save_images):
    save_images(tmp_path / "in", 1, size=(900, 700))
    (tmp_path / "in/image_0.png").rename(tmp_path / "a.png")
    foretold, rise, whole = in_new_process(partial(rise_in_tiles, tmp_path, 250 * 10**6))
    assert 0.3 * foretold[0] < rise <= foretold[0] <= 250 * 10**6
    foretold, rise, whole = in_new_process(partial(rise_in_tiles, tmp_path, 10**10))
    assert foretold == [] and 0.3 * whole < rise <= whole
