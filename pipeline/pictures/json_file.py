"""Whether the file that the option --json names can be written, asked before the work rather than after it."""

from pathlib import Path

from gcl.errors import UserError


def check_json_target(file: Path | None) -> None:
    """UserError if ``file`` is a folder or would lie in one that does not exist."""
    if file is not None and (file.is_dir() or not file.resolve().parent.is_dir()):
        raise UserError(f"--json {file}: name a file in a folder that exists")
