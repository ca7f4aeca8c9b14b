"""A headless Chromium, where one is installed (tests/install-browser): it opens a page that tells what it saw."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
# root has no sandbox; nothing is fetched but the page
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--remote-debugging-port=0")
DEADLINE = 60.0


def installed() -> str:
    """The program, "" where there is none."""
    return next((found for name in NAMES if (found := shutil.which(name))), "")


class Page:
    """One page at an origin of its own; `told` is what its script posted to `/told`."""

    def __init__(self, script: str) -> None:
        self.told: Any = None
        self.came = threading.Event()
        page = f"<!doctype html><meta charset=utf-8><script type=module>{script}</script>".encode()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(handler) -> None:
                handler.send_response(200 if handler.path == "/" else 404)
                handler.send_header("content-type", "text/html")
                handler.end_headers()
                handler.wfile.write(page if handler.path == "/" else b"")

            def do_POST(handler) -> None:
                body = handler.rfile.read(int(handler.headers["content-length"]))
                handler.send_response(204)
                handler.end_headers()
                self.told = json.loads(body)
                self.came.set()

            def log_message(handler, *_: object) -> None:
                """Not on the tests' output."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@contextmanager
def page_of(script: str) -> Iterator[Page]:
    page = Page(script)
    yield page
    page.close()


def opened(page: Page, folder: Path) -> Any:
    """What the page told once the browser had opened it."""
    argv = (installed(), *FLAGS, f"--user-data-dir={folder}", f"{page.origin}/")
    with (folder / "log").open("wb") as log:
        browser = subprocess.Popen(argv, stdout=log, stderr=log, start_new_session=True)
    try:
        assert page.came.wait(DEADLINE), (folder / "log").read_text()[-2000:]
    finally:
        os.killpg(browser.pid, signal.SIGKILL)  # Debian's program is a script: the browser itself is its child
        browser.wait()
    return page.told
