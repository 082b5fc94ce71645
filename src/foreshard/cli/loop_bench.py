"""This module is `foreshard bench loop` on the screen: how far it is, and where the time went."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from foreshard.cli.argument import fail, guarded
from foreshard.lab.loop_bench.figures import Figures
from foreshard.model.errors import LabError

__all__ = ["show_loop"]

STAGES = {
    "scrape": "pages of cells, parsed",
    "reports": "load reports and arrivals of proxies, parsed",
    "window": "the stretch that a forecast looks at",
    "forecast": "trend, every fifth turn",
    "decide": "estimates, phases, guards, table",
    "solve": "the plan",
    "render": "the table in Envoy's words",
    "push": "who lacks what, acknowledgements",
    "encode": "messages to bytes",
    "keep": "the record of decisions",
    "sweep": "garbage, looked for after the turn",
    "rest": "all else",
}


def show_loop(
    *, cells: int, classes: int, proxies: int, turns: int, seed: int, to: Path | None
) -> None:
    """Measure, show, and write the figures down."""
    from foreshard.app.lab.looping import bench_loop
    from foreshard.lab.loop_bench.estate import Size

    size = guarded(lambda: Size(cells=cells, classes=classes, proxies=proxies))
    console = Console()
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("turns", total=1.0)
        figures = guarded(
            lambda: bench_loop(
                size,
                turns=turns,
                seed=seed,
                progress=lambda part: bar.update(task, completed=part),
            )
        )
    console.print(_table(figures))
    if to is not None:
        try:
            to.write_text(json.dumps(asdict(figures), indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            fail(LabError(f"--json {to}: cannot be written ({error.strerror})"))


def _table(found: Figures) -> Table:
    title = f"{found.cells:,} cells, {found.classes} classes, {found.proxies} proxies"
    table = Table("stage", "mean ms", "p99 ms", "what", title=title)
    for stage, what in STAGES.items():
        if stage in found.stages_ms:
            mean, p99 = found.stages_ms[stage], found.stages_ms_p99[stage]
            table.add_row(stage, f"{mean:,.1f}", f"{p99:,.1f}", what)
    table.add_section()
    done = found.done
    table.add_row("turn p50", f"{found.tick_ms_p50:,.1f}", "", f"{done.plans} plans applied")
    table.add_row("turn p99", "", f"{found.tick_ms_p99:,.1f}", f"{done.sent_mb:,.1f} MB encoded")
    table.add_row("memory", "", "", f"{found.rss_mb:,.0f} MB")
    return table
