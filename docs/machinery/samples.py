"""This module is what a user sees, printed by today's code from a recorded run.

The run is recorded (`recording`), the words are not: when `foreshard why` or the demo's screen
changes its words, these pages change with it.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.terminal_theme import TerminalTheme

from foreshard.cli.explain import explain
from foreshard.lab.screen import PlainScreen, view
from foreshard.lab.story import default_story
from foreshard.lab.watch import Watch
from foreshard.model.errors import LabError

__all__ = ["SAMPLES", "SCREEN_S", "report_text", "screen_svg", "why_text"]

SAMPLES = Path(__file__).parents[1] / "samples"
PICTURES = SAMPLES.parent / "pictures"
# A leak is under way and its cell is half empty: the moment the demo is about.
SCREEN_S = 37.0
COLUMNS, REPORT_COLUMNS = 112, 98

# Colours of a dark terminal; shown on both themes of the page.
THEME = TerminalTheme(
    (24, 26, 31),
    (214, 218, 224),
    [
        (24, 26, 31),
        (240, 113, 120),
        (142, 200, 120),
        (229, 192, 100),
        (110, 170, 240),
        (200, 130, 220),
        (95, 195, 200),
        (214, 218, 224),
    ],
)
# Rich's own frame fetches a font from the network.
FRAME = """<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg" role="img"
 aria-label="The live view of the demo: totals, cells, decisions"><style>
.{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
 font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width; }}
{styles}</style><defs>{lines}</defs>
<rect width="100%" height="100%" rx="8" fill="#181a1f"/>
<g transform="translate({terminal_x}, {terminal_y})">{backgrounds}
<g class="{unique_id}-matrix">{matrix}</g></g></svg>"""


def why_text(code: str, *, frozen: str = "") -> str:
    """What `foreshard why` said when a reason of that code was the newest."""
    sample = _sample(f"why-{code}")
    return explain(sample["cell"], sample["record"], sample["status"], frozen=frozen)


def report_text() -> str:
    """The tables at the end of the run whose pictures are in `docs/pictures`."""
    text = io.StringIO()
    screen = PlainScreen(Console(file=text, width=REPORT_COLUMNS, highlight=False))
    found = json.loads((PICTURES / "report.json").read_text(encoding="utf-8"))
    screen.summary(found, json=Path("report.json"), html=None)
    return text.getvalue().rstrip()


def screen_svg() -> str:
    """The live view of the demo, as a picture that needs nothing from the network."""
    sample = _sample("screen")
    story = default_story()
    watch = Watch(start_at_s=time.time() - sample["at_s"], story=story, log=Path("none"))
    watch.begun = story.faults[: sample["begun"]]
    watch.load, watch.totals = sample.get("load", {}), sample.get("totals", {})
    said = [{**e, "at_s": e["at_s"] + watch.start_at_s} for e in sample["said"]]
    now_s = watch.start_at_s + sample["at_s"]
    watch.steered({**sample["status"], "timeline": said, "now_s": now_s})
    console = Console(file=io.StringIO(), width=COLUMNS, record=True, highlight=False)
    # A recording without counts shows what it has: cells and decisions.
    parts = view(watch).renderables
    console.print(*(parts if watch.totals else parts[1:]), sep="")
    return console.export_svg(theme=THEME, code_format=FRAME, unique_id="demo")


def _sample(name: str) -> Mapping[str, Any]:
    path = SAMPLES / f"{name}.json"
    if not path.exists():
        raise LabError(f"sample {path} is missing; record it: see docs/machinery/recording.py")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found
