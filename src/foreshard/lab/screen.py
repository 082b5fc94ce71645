"""This module is what a person sees of a demo: a live view, or a few lines when headless."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from foreshard.lab import service
from foreshard.lab.scores import FORESHARD, REACTIVE
from foreshard.lab.steering import HORIZONS_S
from foreshard.lab.watch import Watch

__all__ = ["LiveScreen", "PlainScreen", "screen_for", "view"]

TIMELINE_LINES = 10
# A headless run says where it is this often.
PLAIN_EVERY_S = 10.0
NORMAL_P, HIGH_P = 0.2, 0.5


class PlainScreen:
    """A line now and then; `console` is where, by default the terminal."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)
        self._next_s = 0.0
        self._told = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return

    def stage(self, text: str) -> None:
        """A step of preparation or ending."""
        self._console.print(f"foreshard demo: {text}")

    def show(self, watch: Watch) -> None:
        """New decisions at once, totals every ten seconds."""
        said = watch.said()
        for entry in said[self._told :]:
            at_s = entry["at_s"] - watch.start_at_s
            self._console.print(
                f"  {at_s:6.1f} s  {entry['cell']}: {entry['text']}", soft_wrap=True
            )
        self._told = len(said)
        if time.monotonic() >= self._next_s:
            self._next_s = time.monotonic() + PLAIN_EVERY_S
            self._console.print(f"  {_clock(watch)}  {_totals_line(watch)}", soft_wrap=True)

    def summary(
        self, report: Mapping[str, Any], *, json: Path | None, html: Path | None = None
    ) -> None:
        """The report as tables, and where it was kept."""
        _summary(self._console, report, [kept for kept in (json, html) if kept is not None])


class LiveScreen:
    """A view that is redrawn twice a second."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        self._live = Live(
            Text("starting"), console=self._console, refresh_per_second=4, screen=False
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()

    def stage(self, text: str) -> None:
        """A step of preparation or ending."""
        self._live.update(Panel(Text(text), title="foreshard demo"))

    def show(self, watch: Watch) -> None:
        """Cells, decisions and totals."""
        self._live.update(view(watch))

    def summary(
        self, report: Mapping[str, Any], *, json: Path | None, html: Path | None = None
    ) -> None:
        """The report as tables, and where it was kept."""
        _summary(self._console, report, [kept for kept in (json, html) if kept is not None])


def view(watch: Watch) -> Group:
    """Cells, decisions and totals, as the live view shows them."""
    return Group(_totals(watch), _cells(watch), _decisions(watch))


def screen_for(*, headless: bool) -> PlainScreen | LiveScreen:
    """The screen that fits."""
    return PlainScreen() if headless else LiveScreen()


def _clock(watch: Watch) -> str:
    at_s = time.time() - watch.start_at_s
    begun = [f"{spec.fault.kind} on {', '.join(spec.cells)}" for spec in watch.begun]
    begun += [
        f"surge of {service.CLASSES[surge.request_class].name}, x {surge.factor:g}"
        for surge in watch.story.surges
        if surge.at_s <= at_s < surge.ends_s
    ]
    last = begun[-1] if begun else "quiet"
    return f"{max(0.0, at_s):5.0f} s of {watch.story.duration_s:.0f} ({last})"


def _totals_line(watch: Watch) -> str:
    bad = watch.load.get("bad_weighted", {})
    return ", ".join(
        f"{name}: {bad.get(name, 0.0):.0f} weighted bad" for name in (REACTIVE, FORESHARD)
    )


def _totals(watch: Watch) -> Panel:
    table = Table(expand=True, box=None)
    for title in ("fleet", "requests", "failed", "slow", "shed", "weighted bad"):
        table.add_column(title, justify="left" if title == "fleet" else "right")
    bad = watch.load.get("bad_weighted", {})
    for name in (REACTIVE, FORESHARD):
        total = watch.totals.get(name, {})
        cells = [str(total.get(key, 0)) for key in ("sent", "failed", "slow", "shed")]
        table.add_row(name, *cells, f"{bad.get(name, 0.0):.0f}")
    return Panel(table, title=f"same traffic, same faults: {_clock(watch)}")


def _cells(watch: Watch) -> Panel:
    table = Table(expand=True, box=None)
    short, long = HORIZONS_S
    titles = ("cell", "phase", "load", "cpu", "memory", f"P({short:g} s)", f"P({long:g} s)")
    for title in (*titles, *(c.name for c in service.CLASSES)):
        table.add_column(title, justify="left" if title in ("cell", "phase") else "right")
    for name, cell in (watch.status or {}).get("cells", {}).items():
        used, p = cell["utilisation"], cell["risk"]["p"]
        shares = {flow.partition("/")[2]: share for flow, share in cell["shares"].items()}
        table.add_row(
            name,
            cell["phase"],
            f"{cell['load_rps']:.0f}/s",
            *(_ratio(used.get(resource)) for resource in ("cpu", "memory")),
            *(_probability(p.get(f"{h:g}")) for h in HORIZONS_S),
            *(f"{shares.get(c.name, 0.0):.1%}" for c in service.CLASSES),
        )
    title = f"the steered fleet; horizons {short:g} s and {long:g} s stand for 5 min and 1 h"
    return Panel(table, title=title)


def _decisions(watch: Watch) -> Panel:
    lines = Table(box=None, expand=True, show_header=False)
    lines.add_column(no_wrap=True)
    lines.add_column(no_wrap=True)
    lines.add_column(ratio=1)
    for entry in watch.said()[-TIMELINE_LINES:]:
        lines.add_row(f"{entry['at_s'] - watch.start_at_s:.1f} s", entry["cell"], entry["text"])
    return Panel(lines, title="decisions and their reasons")


def _ratio(value: float | None) -> Text:
    return Text("-") if value is None else Text(f"{value:.0%}", style="red" if value > 0.9 else "")


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g} ms"


def _probability(p: float | None) -> Text:
    if p is None:
        return Text("-")
    style = "bold red" if p >= HIGH_P else "yellow" if p >= NORMAL_P else "green"
    return Text(f"{p:.0%}", style=style)


def _summary(console: Console, report: Mapping[str, Any], kept: list[Path]) -> None:
    scale = report["time_scale"]
    table = Table(
        title=f"story {report['story']}, seed {report['seed']}, load {report['load']:.0%}"
    )
    for title in ("fleet", "requests", "failed", "slow", "shed", "weighted bad", "p50", "p99"):
        table.add_column(title, justify="left" if title == "fleet" else "right")
    for name, f in report["fleets"].items():
        counts = [str(f[key]) for key in ("requests", "failed", "slow", "shed")]
        harm = f"{f['bad_weighted']:.0f} ({f['bad_weighted_ratio']:.2%})"
        table.add_row(name, *counts, harm, _ms(f["p50_ms"]), _ms(f["p99_ms"]))
    console.print(table)
    if report["faults"]:
        console.print(_fault_table(report["faults"]))
    if report.get("oracle") is not None:
        console.print(_oracle_line(report["oracle"]))
    engine = report["engine"]
    console.print(
        f"{report['decisions']} decisions, {report['false_evacuations']} false evacuations; "
        f"tick p99 {_ms(engine.get('tick_ms_p99'))}, push to ack p99 "
        f"{_ms(engine.get('push_to_ack_ms_p99'))}, load generator late by at most "
        f"{_ms(report['loadgen_lateness_ms_p99'])} (p99)"
    )
    console.print(f"time scale: {scale['note']}")
    for path in kept:
        console.print(f"report: {path}")


def _oracle_line(oracle: Mapping[str, Any]) -> str:
    """What had to be bad, where it mattered."""
    stretch = "window" if oracle["window"] else "run"
    found = oracle[stretch]
    if found is None:
        return "oracle: nothing was scored"
    where = "while faults and surges were felt" if stretch == "window" else "over the run"
    over = ", ".join(f"{name} {points:+.2f}" for name, points in found["over_points"].items())
    return (
        f"oracle: {found['bad_weighted_ratio']:.2%} of weighted demand had to be bad {where}; "
        f"points above that: {over}"
    )


def _fault_table(faults: list[Mapping[str, Any]]) -> Table:
    table = Table(title="weighted bad requests per fault")
    for title in ("fault", "cells", "began", "relieved", "onset", "lead", REACTIVE, FORESHARD):
        table.add_column(title, justify="left" if title in ("fault", "cells") else "right")
    for fault in faults:
        moments = [fault["at_s"], fault["relieved_s"], fault["onset_s"], fault["lead_time_s"]]
        table.add_row(
            fault["kind"],
            ", ".join(fault["cells"]),
            *("-" if m is None else f"{m:.1f} s" for m in moments),
            *(f"{fault['bad_weighted'][name]:.0f}" for name in (REACTIVE, FORESHARD)),
        )
    return table
