"""Weights published by others: from a local file, torch's hub cache, or a download into that cache."""

import http.client
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from gcl.errors import UserError

PATIENCE = 20.0
"""Seconds to wait for a host that does not answer; the default would be minutes."""


class WeightsUnavailable(UserError, RuntimeError):
    """Published weights are neither on disk nor downloadable; the message says what can be done."""


def local_or_published(local: Path | None, url: str, setting: str, offline: str) -> Path:
    """Returns ``local`` if given, else the file of ``url`` in torch's hub cache, downloaded and checked if needed.

    Raises WeightsUnavailable if the file is missing or cannot be downloaded. The message names ``setting``, the key of
    params.yaml, and ``offline``, the choice that needs no download.
    """
    ways_out = (
        f"Either run once with a network, which downloads {url}; or set {setting} to a local copy of that file; "
        f"or set {offline}, which needs no download"
    )
    if local is not None:
        if not local.is_file():
            raise WeightsUnavailable(f"{setting} = {local}: no such file. {ways_out}")
        return local
    cached = Path(torch.hub.get_dir()) / "checkpoints" / Path(url).name
    if not cached.is_file():
        try:
            _download(url, cached)
        except (OSError, RuntimeError, http.client.HTTPException) as error:
            raise WeightsUnavailable(
                f"no weights at {cached}, and their download failed: {error}. {ways_out}"
            ) from None
    return cached


def _download(url: str, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    # The names of published weights end in the first digits of their SHA-256.
    expected = file.stem.rsplit("-", 1)[-1]
    # torch writes to a temporary file, which it removes on failure, so no half-written file remains.
    with _patience(PATIENCE):
        torch.hub.download_url_to_file(url, str(file), hash_prefix=expected, progress=False)


@contextmanager
def _patience(seconds: float) -> Iterator[None]:
    """Makes new connections time out after ``seconds``."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
