"""Checks that a folder of translations, by this or another program, matches testA: same names and sizes, all PNG."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from gcl.errors import UserError
from gcl.images.decoding import FORMATS, list_images
from gcl.images.file_lists import some
from gcl.images.manifest import Entry

OTHERS_SUFFIXES = ("_fake_B", "_fake")
"""What CycleGAN, CUT and pix2pix append to an input's name."""


def check_translations(translated: Path, inputs: Sequence[Entry]) -> None:
    """UserError, listing all that is wrong, unless the folder holds exactly one PNG for each of ``inputs``."""
    if not translated.is_dir():
        raise UserError(f"{translated}: there is no such folder; run: gcl translate")
    found = {path.name: path for path in list_images(translated)}
    wanted = {entry.name: entry for entry in inputs}
    missing, extra = sorted(wanted.keys() - found.keys()), sorted(found.keys() - wanted.keys())
    faults = [f"{len(missing)} of {len(wanted)} are missing: {some(missing)}"] if missing else []
    faults += [f"{len(extra)} belong to no test image: {some(extra)}"] if extra else []
    faults += _content_faults([(found[name], wanted[name]) for name in sorted(found.keys() & wanted.keys())])
    if faults:
        head = f"{translated} must hold one PNG of the same name and size for every image of testA, and no others:"
        advice = [*_folders(translated, found), *_renaming(missing, extra), *_lossy(extra)]
        raise UserError("\n- ".join([head, *faults, *advice]))


def _content_faults(pairs: Sequence[tuple[Path, Entry]]) -> list[str]:
    """The faults found in the files' headers: wrong sizes, and files that are not PNG whatever their names say."""
    formats, sizes = [], []
    for path, entry in pairs:
        try:
            with Image.open(path, formats=FORMATS) as image:
                if image.format != "PNG":
                    formats.append(f"{path.name} is {image.format}")
                if image.size != (entry.width, entry.height):
                    sizes.append(f"{path.name} {image.width}x{image.height}, its input {entry.width}x{entry.height}")
        # Decoders may raise any exception on a damaged file.
        except Exception:
            formats.append(f"{path.name} is not an image that can be read")
    told = [f"{len(formats)} are not PNG inside, whatever their names say: {some(formats)}"] if formats else []
    return told + ([f"{len(sizes)} differ in size from their input: {some(sizes)}"] if sizes else [])


def _folders(translated: Path, found: dict[str, Path]) -> list[str]:
    """Advice if the images may be one folder deeper."""
    inner = sorted(path.name for path in translated.iterdir() if path.is_dir() and not path.name.startswith("."))
    return [] if found or not inner else [f"it holds no images, but it has subfolders; name one of them: {some(inner)}"]


def _renaming(missing: Sequence[str], extra: Sequence[str]) -> list[str]:
    """Advice on renaming if an extra name is a missing one with another program's suffix."""
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
    """Advice if there are files that are not PNG by name."""
    other = sorted({Path(name).suffix for name in extra} - {".png"})
    told = f"{' and '.join(other)} files are not evaluated, since compression changes FID; write PNG in the first place"
    return [told] if other else []
