"""An HTTP server on this machine that misbehaves in the known ways."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BODY = random.Random(0).randbytes(600_000)
Answer = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Answers each path by the function that the test put under it; logs what it sent."""

    server: Server

    def do_GET(self) -> None:
        self.server.requests.append((self.path, self.headers.get("Range")))
        self.server.answers[self.path](self)

    def send(
        self,
        body: bytes,
        *,
        status: int = 200,
        declared: int | None = -1,
        cut: int | None = None,
        **headers: str,
    ) -> None:
        """Send `body`; `declared` lies about its length, `cut` ends it after so many bytes."""
        self.send_response(status)
        declared = len(body) if declared == -1 else declared
        if declared is not None:
            self.send_header("Content-Length", str(declared))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body[:cut])
        self.server.sent += len(body[:cut])
        self.close_connection = True

    def offset(self) -> int:
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        return int(wanted[1]) if wanted else 0

    def log_message(self, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, Answer] = {}
        self.requests: list[tuple[str, str | None]] = []
        self.sent = 0

    def url(self, path: str, answer: Answer) -> str:
        self.answers[path] = answer
        return f"http://127.0.0.1:{self.server_address[1]}{path}"


def ranged(body: bytes = BODY, cut: int | None = None, **headers: str) -> Answer:
    """A server that honours ranges, and closes the connection after `cut` bytes of each answer."""

    def answer(handler: Handler) -> None:
        offset = handler.offset()
        if not offset:
            handler.send(body, cut=cut, **headers)
        elif offset >= len(body):
            handler.send(b"", status=416, Content_Range=f"bytes */{len(body)}")
        else:
            span = f"bytes {offset}-{len(body) - 1}/{len(body)}"
            handler.send(body[offset:], status=206, cut=cut, Content_Range=span, **headers)

    return answer


def slow(pause_s: float, piece: int = 60_000) -> Answer:
    """A server that honours ranges and waits before each piece but the first of an answer."""

    def answer(handler: Handler) -> None:
        offset = handler.offset()
        handler.send_response(206 if offset else 200)
        handler.send_header("Content-Length", str(len(BODY) - offset))
        if offset:
            span = f"bytes {offset}-{len(BODY) - 1}/{len(BODY)}"
            handler.send_header("Content-Range", span)
        handler.end_headers()
        handler.close_connection = True
        with suppress(OSError):  # the client has left
            for start in range(offset, len(BODY), piece):
                if start > offset:
                    time.sleep(pause_s)
                handler.wfile.write(BODY[start : start + piece])

    return answer


def whole(body: bytes = BODY, **options: int | None) -> Answer:
    """A server that knows no ranges."""
    return lambda handler: handler.send(body, **options)


def status(code: int, **headers: str) -> Answer:
    return lambda handler: handler.send(b"sorry", status=code, **headers)


def in_turn(*answers: Answer) -> Answer:
    left = list(answers)
    return lambda handler: (left.pop(0) if len(left) > 1 else left[0])(handler)
