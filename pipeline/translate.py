"""Stage 3: model and testA -> translated images of the same stems."""

import shutil
from pathlib import Path

from lightning_fabric import Fabric

from gcl.checkpoints import load_generator
from gcl.images import list_images
from gcl.translation import translate_folder
from pipeline.console import announce, progress_bar


def translate(accelerator: str, model: Path, source: Path, target: Path) -> None:
    """Translates every image of ``source`` into ``target``; a failure leaves no half-filled folder."""
    generator = load_generator(model)
    device = Fabric(accelerator=accelerator, devices=1).device
    partial = target.with_name(f"{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    written = translate_folder(generator, source, partial, device)
    count = sum(1 for _ in progress_bar(written, "translating", len(list_images(source))))
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)
    announce(f"translated {count} images: {target}")
