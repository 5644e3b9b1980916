"""Stage 3: model and testA -> translated images of the same stems."""

from pathlib import Path

from gcl.checkpoints import load_generator
from gcl.errors import UserError
from gcl.files import replaced_folder
from gcl.images import list_images
from gcl.translation import translate_folder
from pipeline.console import announce, progress_bar
from pipeline.devices import make_fabric


def translate(accelerator: str, model: Path, source: Path, target: Path) -> None:
    """Translates every image of ``source`` into ``target``; a failure leaves no half-filled folder."""
    if source.resolve().is_relative_to(target.resolve()):
        raise UserError(f"{target} holds the images to translate; write somewhere else")
    generator = load_generator(model)
    device = make_fabric(accelerator).device
    with replaced_folder(target) as folder:
        written = translate_folder(generator, source, folder, device)
        count = sum(1 for _ in progress_bar(written, "translating", len(list_images(source))))
    announce(f"translated {count} images: {target}")
