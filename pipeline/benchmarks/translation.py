"""The speed of translation in images per second: `gcl translate` compared with a plain loop, one image at a time."""

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
from pipeline.benchmarks.settings import drawn_data, drawn_size
from pipeline.benchmarks.timing import interleaved
from pipeline.running.devices import fabric_on_one_device

IMAGES = 16
"""The number of test images, enough for the start of the threads to hardly matter."""

BUDGET = 10.0
"""The seconds of rounds to measure."""


def measure_translation(params: Params) -> dict[str, object]:
    """Measures images per second on drawn images of the setting's size, with a generator with random weights."""
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
    return {"images": IMAGES, "size": drawn_size(params), **speeds}


@torch.inference_mode()
def _one_after_the_other(generator: Generator, source: Path, target: Path, device: torch.device) -> None:
    for path in list_images(source):
        with Image.open(path) as image:
            pixels = torch.from_numpy(np.array(image.convert("RGB"))).to(device)  # (H, W, 3)
        signed = pixels.permute(2, 0, 1).unsqueeze(0).float() / 127.5 - 1  # (1, 3, H, W)
        translated = ((generator(signed)[0] + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        Image.fromarray(translated.permute(1, 2, 0).cpu().numpy()).save(target / path.name)
