"""Weights that others published: a local file, torch's hub cache, or a download into it."""

import http.client
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from gcl.errors import UserError

PATIENCE = 20.0
"""Seconds to wait for a host that does not answer; by default that takes minutes."""


class WeightsUnavailable(UserError, RuntimeError):
    """Published weights are neither on disk nor to be downloaded; the message names the ways out."""


def local_or_published(local: Path | None, url: str, setting: str, offline: str) -> Path:
    """``local``, or without one the file of ``url`` in torch's hub cache, downloaded and checked if need be.

    Raises WeightsUnavailable, which names the key ``setting`` of params.yaml and the choice ``offline`` that needs no
    weights.
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
    # Published weights end their names with the first digits of the file's SHA-256.
    expected = file.stem.rsplit("-", 1)[-1]
    # torch writes under a temporary name that it removes on failure, so no half-written file stays.
    with _patience(PATIENCE):
        torch.hub.download_url_to_file(url, str(file), hash_prefix=expected, progress=False)


@contextmanager
def _patience(seconds: float) -> Iterator[None]:
    """Makes new connections time out."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
