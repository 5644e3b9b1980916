"""Whether a folder of translations, of this program or another, matches testA: the same names and sizes, as PNG."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from gcl.errors import UserError
from gcl.images.decoding import FORMATS, list_images
from gcl.images.file_lists import some
from gcl.images.manifest import Entry

OTHERS_SUFFIXES = ("_fake_B", "_fake")
"""What CycleGAN, CUT and pix2pix add to an input's name."""


def check_translations(translated: Path, inputs: Sequence[Entry]) -> None:
    """UserError with all that is wrong in the folder unless it holds one PNG for each of ``inputs``, and no other."""
    if not translated.is_dir():
        raise UserError(f"{translated}: there is no such folder; run: gcl translate")
    found = {path.name: path for path in list_images(translated)}
    wanted = {entry.name: entry for entry in inputs}
    missing, extra = sorted(wanted.keys() - found.keys()), sorted(found.keys() - wanted.keys())
    faults = [f"{len(missing)} of {len(wanted)} are missing: {some(missing)}"] if missing else []
    faults += [f"{len(extra)} belong to no test image: {some(extra)}"] if extra else []
    faults += _content_faults([(found[name], wanted[name]) for name in sorted(found.keys() & wanted.keys())])
    if faults:
        head = f"{translated} does not hold a PNG of the same name and size for every image of testA, and no other:"
        advice = [*_folders(translated, found), *_renaming(missing, extra), *_lossy(extra)]
        raise UserError("\n- ".join([head, *faults, *advice]))


def _content_faults(pairs: Sequence[tuple[Path, Entry]]) -> list[str]:
    """What the headers of the files tell: sizes, and what is no PNG whatever its name says."""
    formats, sizes = [], []
    for path, entry in pairs:
        try:
            with Image.open(path, formats=FORMATS) as image:
                if image.format != "PNG":
                    formats.append(f"{path.name} is {image.format}")
                if image.size != (entry.width, entry.height):
                    sizes.append(f"{path.name} {image.width}x{image.height}, its input {entry.width}x{entry.height}")
        # Decoders raise whatever they stumble over in a damaged file.
        except Exception:
            formats.append(f"{path.name} is not an image that can be read")
    told = [f"{len(formats)} are not PNG inside, whatever their names say: {some(formats)}"] if formats else []
    return told + ([f"{len(sizes)} have another size than their input: {some(sizes)}"] if sizes else [])


def _folders(translated: Path, found: dict[str, Path]) -> list[str]:
    """Where the images lie one folder deeper."""
    inner = sorted(path.name for path in translated.iterdir() if path.is_dir() and not path.name.startswith("."))
    return [] if found or not inner else [f"no image lies in it, but there are folders in it; name one: {some(inner)}"]


def _renaming(missing: Sequence[str], extra: Sequence[str]) -> list[str]:
    """What to rename, where an extra name is a missing one with what another program added."""
    stems = {Path(name).stem for name in missing}
    for suffix in OTHERS_SUFFIXES:
        for path in map(Path, extra):
            stem = path.stem.removesuffix(suffix)
            if stem != path.stem and stem in stems:
                return [
                    f"NAME{suffix} is how another program names the translation of NAME: copy only these files into "
                    f"a folder of their own, {path.name} as {stem}.png"
                ]
    return []


def _lossy(extra: Sequence[str]) -> list[str]:
    other = sorted({Path(name).suffix for name in extra} - {".png"})
    told = f"{' and '.join(other)} files are not evaluated, since compression changes FID; write PNG in the first place"
    return [told] if other else []
