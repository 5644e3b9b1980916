"""The speed of translation: `gcl translate` compared with a plain loop in images per second, tiles with the whole."""

from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image

from gcl.config import Params
from gcl.images.decoding import list_images
from gcl.networks.generator import Generator
from gcl.networks.inference import translate_folder
from gcl.tiles.plan import whole_memory
from gcl.tiles.translation import LargePictures
from pipeline.benchmarks.settings import drawn_data, drawn_size
from pipeline.benchmarks.timing import interleaved
from pipeline.running.devices import fabric_on_one_device

WIDTH, HEIGHT = 640, 480
"""The size of the picture that is translated in tiles and as a whole."""

IMAGES = 16
"""The number of test images, enough for the start of the threads to hardly matter."""

BUDGET = 10.0
"""The seconds of rounds to measure."""


def measure_translation(params: Params) -> dict[str, object]:
    """Measures images per second on drawn images of the setting's size, with a generator with random weights, and how
    long a larger picture takes in tiles."""
    bfloat16 = fabric_on_one_device(params.train.accelerator, "bf16-mixed")
    device = bfloat16.device
    generator = Generator(**params.generator.model_dump()).to(device).eval()
    translator = deepcopy(generator)  # translate_folder converts it to channels last
    with drawn_data(params, train=2, test=IMAGES) as prepared, TemporaryDirectory() as folder:
        source, target = prepared.split("testA"), Path(folder)
        calls = {
            "plain_loop": lambda: _one_after_the_other(generator, source, target, device),
            "gcl_translate": lambda: list(translate_folder(translator, source, target, device)),
            "gcl_translate_bfloat16": lambda: list(
                translate_folder(translator, source, target, device, bfloat16.autocast)
            ),
        }
        timings = interleaved(calls, device, BUDGET)
    speeds = {name: {**timing.read(), "images_a_second": IMAGES / timing.seconds} for name, timing in timings.items()}
    for name in ("gcl_translate", "gcl_translate_bfloat16"):
        speeds[name]["speedup"] = timings["plain_loop"].ratio(timings[name])
    return {"images": IMAGES, "size": drawn_size(params), **speeds, "tiles": _tiles(translator, device)}


def _tiles(generator: Generator, device: torch.device) -> dict[str, object]:
    """How long a picture of noise takes as a whole and in tiles, because there is one byte too little for the whole."""
    enough = whole_memory(generator, HEIGHT, WIDTH)
    whole, tiles = (LargePictures(generator, device, memory=memory) for memory in (enough, enough - 1))
    with TemporaryDirectory() as folder:
        source, target = Path(folder, "picture.png"), Path(folder, "translated.png")
        pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(source)
        calls = {"whole": lambda: whole.translate(source, target), "tiles": lambda: tiles.translate(source, target)}
        timings = interleaved(calls, device, BUDGET)
    megapixels = WIDTH * HEIGHT / 1e6
    per_megapixel = {name: timing.seconds / megapixels for name, timing in timings.items()}
    return {"seconds_a_megapixel": per_megapixel, "times_as_long": timings["tiles"].ratio(timings["whole"])}


@torch.inference_mode()
def _one_after_the_other(generator: Generator, source: Path, target: Path, device: torch.device) -> None:
    for path in list_images(source):
        with Image.open(path) as image:
            pixels = torch.from_numpy(np.array(image.convert("RGB"))).to(device)  # (H, W, 3)
        signed = pixels.permute(2, 0, 1).unsqueeze(0).float() / 127.5 - 1  # (1, 3, H, W)
        translated = ((generator(signed)[0] + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        Image.fromarray(translated.permute(1, 2, 0).cpu().numpy()).save(target / path.name)
