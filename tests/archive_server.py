"""A server for one archive that cuts connections, stalls and lies as a test's script tells it to."""

import random
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from gcl.sources.downloads import CHUNK

CONTENT = random.Random(0).randbytes(10 * CHUNK + 123)
"""The archive to download."""


@dataclass
class Answer:
    """How the server behaves for one request; by default it behaves as it should."""

    status: int | None = None
    content: bytes = CONTENT
    ranges: bool = True
    extent: str | None = None
    length: int | None = None
    cut: int | None = None
    reset: bool = False
    then: Callable[[], object] = lambda: None


class Handler(BaseHTTPRequestHandler):
    """Answers by its server's ``script`` and, when that has run out, with the server's ``usual`` answer."""

    def do_GET(self):
        wanted = self.headers["Range"]
        self.server.asked.append(wanted)
        answer = self.server.script.pop(0) if self.server.script else self.server.usual
        if self.path != "/sets/small.zip" or (answer.status or 0) >= 400:
            return self.send_error(answer.status or 404)
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and answer.ranges else 0
        body = answer.content[start:]
        self.send_response(answer.status or (206 if start else 200))
        if start:
            total = len(answer.content)
            self.send_header("Content-Range", answer.extent or f"bytes {start}-{total - 1}/{total}")
        self.send_header("Content-Length", str(answer.length or len(body)))
        self.end_headers()
        self.wfile.write(body[: answer.cut])
        answer.then()
        if answer.reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

    def log_message(self, *_):
        pass


@contextmanager
def serving() -> Iterator[ThreadingHTTPServer]:
    """A server in a thread; ``script`` says how it will behave, ``asked`` lists the ranges that were requested."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.script, running.asked, running.usual = [], [], Answer()
        running.url = f"http://127.0.0.1:{running.server_port}/sets"
        threading.Thread(target=running.serve_forever, args=(0.01,)).start()
        yield running
        running.shutdown()
