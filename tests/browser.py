"""A real Chromium, driven over WebDriver: one session, plain HTTP, no package needed."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError

from foreshard.controller.process import free_port

__all__ = ["Browser", "chromium"]

MISSING = (
    "{name} is not on the path: `make browser` installs it as root on Debian; elsewhere install "
    "the packages chromium and chromium-driver"
)
READY_WITHIN_S = 30.0
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Browser:
    """One session of a browser."""

    session: str

    def show(self, page: Path, *, width: int, dark: bool) -> None:
        """Open a page at a width, in the theme of a system."""
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.tell("Emulation.setDeviceMetricsOverride", size)
        theme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.tell("Emulation.setEmulatedMedia", {"features": [theme]})
        self.ask("POST", "url", {"url": page.resolve().as_uri()})

    def run(self, script: str, *arguments: object) -> Any:  # noqa: ANN401 - JSON values
        """What the body of a function returns in the page."""
        return self.ask("POST", "execute/sync", {"script": script, "args": list(arguments)})

    def log(self, kind: str) -> list[dict[str, Any]]:
        """What was logged since the last call: `browser` (the console) or `performance`."""
        entries: list[dict[str, Any]] = self.ask("POST", "se/log", {"type": kind})
        return entries

    def picture(self, selector: str, *, scale: float = 1.0, margin: int = 12) -> bytes:
        """All that a selector finds as one PNG, whole, however tall."""
        boxes = self.run(
            "return [...document.querySelectorAll(arguments[0])].map((of) => {"
            "  const b = of.getBoundingClientRect();"
            "  return [b.left + scrollX, b.top + scrollY, b.right + scrollX, b.bottom + scrollY];"
            "});",
            selector,
        )
        lefts, tops, rights, bottoms = zip(*boxes, strict=True)
        x, y = min(lefts), min(tops)
        width, height = max(rights) - x, max(bottoms) - y
        clip = {
            "x": max(0, x - margin),
            "y": max(0, y - margin),
            "width": width + 2 * margin,
            "height": height + 2 * margin,
            "scale": scale,
        }
        options = {"format": "png", "captureBeyondViewport": True, "clip": clip}
        shot = self.tell("Page.captureScreenshot", options)
        return base64.b64decode(shot["data"])

    def tell(self, command: str, parameters: dict[str, Any]) -> Any:  # noqa: ANN401 - JSON values
        """A command of the DevTools protocol."""
        return self.ask("POST", "goog/cdp/execute", {"cmd": command, "params": parameters})

    def ask(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - JSON values
        """A WebDriver command; `path` is under the session."""
        return _ask(method, f"{self.session}/{path}".rstrip("/"), body)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser that is ended with all of its children, and leaves no file."""
    for name in ("chromium", "chromedriver"):
        if shutil.which(name) is None:
            raise FileNotFoundError(MISSING.format(name=name))
    # Not pytest's folder: the browser's own socket lies there, and its path has 107 bytes.
    with tempfile.TemporaryDirectory(prefix="fs-", ignore_cleanup_errors=True) as scratch:
        port = free_port()
        driver = subprocess.Popen(
            ["chromedriver", f"--port={port}", "--log-level=WARNING"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "TMPDIR": scratch},
        )
        try:
            home = f"http://127.0.0.1:{port}"
            _until_ready(home)
            browser = Browser(session=f"{home}/session/{_session(home, scratch)}")
            try:
                yield browser
            finally:
                browser.ask("DELETE", "")
        finally:
            driver.terminate()
            driver.wait()


def _session(home: str, scratch: str) -> str:
    options = {
        "binary": shutil.which("chromium"),
        "args": [*FLAGS, f"--user-data-dir={scratch}/profile"],
    }
    wanted = {
        "browserName": "chrome",
        "goog:chromeOptions": options,
        "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
    }
    made = _ask("POST", f"{home}/session", {"capabilities": {"alwaysMatch": wanted}})
    return str(made["sessionId"])


def _until_ready(home: str) -> None:
    deadline_s = time.monotonic() + READY_WITHIN_S
    while True:
        try:
            if _ask("GET", f"{home}/status")["ready"]:
                return
        except URLError:
            if time.monotonic() > deadline_s:
                raise
        time.sleep(0.05)


def _ask(method: str, url: str, body: object = None) -> Any:  # noqa: ANN401 - JSON values
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=content, method=method)  # noqa: S310 - our own driver
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - as above
            return json.load(answer)["value"]
    except HTTPError as error:
        said = error.read().decode(errors="replace")
        raise RuntimeError(f"chromedriver refused {method} {url}: {said[:500]}") from error
