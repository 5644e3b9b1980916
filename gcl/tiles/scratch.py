"""The folder in which the files of one translation lie while it is made."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gcl.errors import UserError
from gcl.files import MARKER
from gcl.locks import only_writer


@contextmanager
def scratch_folder(target: Path) -> Iterator[Path]:
    """Yields a new hidden folder beside the file ``target``, deleted in the end; ``target`` is locked meanwhile.

    What a killed process left of the folder is deleted first. UserError if this program did not make the folder. The
    system's folder for temporary files is not used, since it may lie in memory.
    """
    with only_writer(target):
        folder = target.with_name(f".{target.name}.tiles")
        if folder.exists() and not (folder / MARKER).exists() and any(folder.iterdir()):
            raise UserError(f"{folder}: this program did not make this folder; move it")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            (folder / MARKER).touch()
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def check_disk(folder: Path, needed: int, file: Path) -> None:
    """UserError if the disk of ``folder`` has fewer than ``needed`` free bytes for translating ``file``."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UserError(
            f"{file}: translating it takes {needed / 1e9:.1f} GB of disk, but only {free / 1e9:.1f} GB are free in "
            f"{folder}; make room or write somewhere else"
        )
