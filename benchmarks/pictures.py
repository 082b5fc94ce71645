"""This script is docs/pictures: the page of a run, in a real browser, in both themes.

Without arguments it draws the run that is kept there. `report.json` (what `demo --json` wrote)
draws that one, and keeps it; `--fresh` plays the demo first, for about five minutes.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from foreshard.lab.report import page, parse
from tests.browser import Browser, chromium

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
KEPT = PICTURES / "report.json"
# What is shown of the page.
PARTS = {"harm": ".verdict, #harm", "cells": "#cells"}
WIDTH = 1100
# Sharp on most screens, and still small enough.
SCALE = 1.2
LARGEST_BYTES = 300_000


def main() -> int:
    """Draw; the status is 1 when a picture is too large for a README."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("report", nargs="?", type=Path, help="what `demo --json` wrote")
    parser.add_argument("--fresh", action="store_true", help="run the demo first")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        source = _fresh(folder) if options.fresh else options.report or KEPT
        text = source.read_text(encoding="utf-8")
        file = folder / "report.html"
        file.write_text(page(parse(text)), encoding="utf-8")
        PICTURES.mkdir(parents=True, exist_ok=True)
        if source.resolve() != KEPT:
            KEPT.write_text(text, encoding="utf-8")
        with chromium() as browser:
            sizes = [_draw(browser, file, dark=dark) for dark in (False, True)]
    return int(max(sizes) > LARGEST_BYTES)


def _fresh(folder: Path) -> Path:
    report = folder / "report.json"
    command = [sys.executable, "-m", "foreshard", "demo", "--headless", "--seed", "1"]
    subprocess.run([*command, "--json", str(report)], check=True)
    return report


def _draw(browser: Browser, file: Path, *, dark: bool) -> int:
    """Write the pictures of a theme; the size of the largest, in bytes."""
    browser.show(file, width=WIDTH, dark=dark)
    largest = 0
    for name, selector in PARTS.items():
        theme = "dark" if dark else "light"
        target = PICTURES / f"{name}-{theme}.png"
        target.write_bytes(browser.picture(selector, scale=SCALE))
        size = target.stat().st_size
        sys.stdout.write(f"{target.relative_to(PICTURES.parents[1])}: {size / 1e3:.0f} kB\n")
        largest = max(largest, size)
    return largest


if __name__ == "__main__":
    sys.exit(main())
