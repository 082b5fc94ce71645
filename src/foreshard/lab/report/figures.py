"""This module is what the page is drawn from: the JSON of a report, held to its shape."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from foreshard.lab.report.document import Value, document
from foreshard.lab.report.samples import SampledRun, read_samples
from foreshard.model.errors import LabError

__all__ = [
    "FORMAT",
    "Fault",
    "FleetFigures",
    "Oracle",
    "Report",
    "Said",
    "Surge",
    "parse",
    "written",
]

# Rises when a page could no longer be drawn from what was written before.
FORMAT = 1
# A day of one-second samples: more is no demo, and would make a page that no browser shows.
LONGEST_S = 86_400.0
# Keys whose values are long series: written on one line each, for people read the others.
SERIES = frozenset({"samples", "series"})


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetFigures:
    """The totals of one side."""

    requests: float
    failed: float
    slow: float
    shed: float
    bad_weighted: float
    weighted_demand: float
    p50_ms: float | None
    p99_ms: float | None

    @property
    def bad_ratio(self) -> float:
        """Share of the weighted demand that went bad."""
        return self.bad_weighted / self.weighted_demand if self.weighted_demand else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault and what came of it; moments are seconds from the start of the story."""

    kind: str
    cells: tuple[str, ...]
    predictable: bool
    at_s: float
    ends_s: float
    known_s: float | None
    window_s: tuple[float, float]
    onset_s: float | None
    relieved_s: float | None
    lead_s: float | None
    bad_weighted: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Surge:
    """One class was asked for more often, for a while."""

    request_class: str
    factor: float
    at_s: float
    ends_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Oracle:
    """What had to be bad, whoever routed.

    Attributes:
        ratio: Share of the weighted demand of the run; None = nothing was scored.
        over_points: How many points of weighted demand each side was above that.
        per_s: Weighted bad requests by second of arrival.
    """

    ratio: float | None
    over_points: Mapping[str, float]
    per_s: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A decision and its reason; `moved` = it changed what the balancers do."""

    at_s: float
    cell: str
    code: str
    text: str
    moved: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A run; mappings by side hold `reactive`, `foreshard`, or one of them.

    Attributes:
        story: Its name; `seed`, `load` and `duration_s` make it repeatable.
        ran_s: How far it came.
        weights: Of the classes.
        forecast: Name of the forecaster; "none" = there was none.
        mix: Share of all requests by class, in the order of `weights`.
        oracle: None = it was not asked.
        bad_per_s: Weighted bad requests by second of arrival, by side.
        answered: Requests that each cell answered, [cell][second], by side.
        said: In order of time.
    """

    version: str
    story: str
    seed: int
    load: float
    forecast: str
    cpus: int
    duration_s: float
    warm_up_s: float
    ran_s: float
    weights: Mapping[str, float]
    mix: Mapping[str, float]
    fleets: Mapping[str, FleetFigures]
    faults: tuple[Fault, ...]
    surges: tuple[Surge, ...]
    oracle: Oracle | None
    elsewhere: Mapping[str, float]
    bad_per_s: Mapping[str, tuple[float, ...]]
    cells: tuple[str, ...]
    answered: Mapping[str, tuple[tuple[float, ...], ...]]
    decisions: int
    false_evacuations: int
    lateness_ms_p99: float | None
    engine: Mapping[str, float | None]
    reactive_net: tuple[str, ...]
    horizons_s: tuple[float, ...]
    doubt_p: float
    time_note: str
    patience_s: Mapping[str, float]
    said: tuple[Said, ...]
    samples: SampledRun

    def no_onset(self, fault: Fault) -> str:
        """Why a fault has no onset: it never bit, or the run ended first."""
        return "not until the end" if fault.window_s[1] > self.ran_s else "never"

    @property
    def was_cut_short(self) -> bool:
        """Whether it ended before its story did."""
        return self.ran_s < self.duration_s


def written(found: Mapping[str, Any]) -> str:
    """A report as text: figures on lines that a person can read, a series on one."""
    parts = (
        f"{json.dumps(key)}: {json.dumps(value, indent=None if key in SERIES else 1)}"
        for key, value in found.items()
    )
    return "{\n" + ",\n".join(parts) + "\n}\n"


def parse(text: str) -> Report:
    """The report that a text holds.

    Raises:
        LabError: It is none, is of another format, or is damaged; the sentence says where.
    """
    whole = document(text)
    found = whole.get("format")
    if found is None or found.raw != FORMAT:
        was = "no format" if found is None else f"format {json.dumps(found.raw)[:20]}"
        raise LabError(
            f"the report has {was}, this Foreshard draws format {FORMAT}: write it anew with "
            "`foreshard demo --json FILE`, or draw it with the version that wrote it"
        )
    return _report(whole)


def _report(whole: Value) -> Report:
    duration_s = whole["duration_s"].number(1.0, LONGEST_S)
    seconds = int(-(-duration_s // 1))
    series, scale = whole["series"], whole["time_scale"]
    weights = {c["name"].text(): c["weight"].number(0.0) for c in whole["classes"].items()}
    cells = tuple(cell.text() for cell in series["cells"].items())
    fleets = whole["fleets"].entries()
    if not fleets:
        whole["fleets"].refuse("at least one side")
    return Report(
        version=whole["version"].text(),
        story=whole["story"].text(),
        seed=int(whole["seed"].number(0.0)),
        load=whole["load"].number(0.0),
        forecast=whole["forecast"].text(),
        cpus=int(whole["cpus"].number(0.0)),
        duration_s=duration_s,
        warm_up_s=whole["warm_up_s"].number(0.0, duration_s),
        ran_s=whole["ran_s"].number(0.0, duration_s),
        weights=weights,
        mix=_mix(next(iter(fleets.values())), tuple(weights)),
        fleets={name: _fleet(value) for name, value in fleets.items()},
        faults=tuple(_fault(value, tuple(fleets)) for value in whole["faults"].items()),
        surges=tuple(_surge(value) for value in whole["surges"].items()),
        oracle=_oracle(whole["oracle"], tuple(fleets), seconds),
        elsewhere=_by_side(whole["elsewhere"]["bad_weighted"], tuple(fleets)),
        bad_per_s={
            name: tuple(v.number(0.0) for v in series["bad_weighted"][name].items(seconds))
            for name in fleets
        },
        cells=cells,
        answered={
            name: tuple(
                tuple(v.number(0.0) for v in row.items(seconds))
                for row in series["answered"][name].items(len(cells))
            )
            for name in fleets
        },
        decisions=int(whole["decisions"].number(0.0)),
        false_evacuations=int(whole["false_evacuations"].number(0.0)),
        lateness_ms_p99=whole["loadgen_lateness_ms_p99"].maybe(),
        engine={key: value.maybe() for key, value in whole["engine"].entries().items()},
        reactive_net=tuple(v.text() for v in whole["reactive_net"].items()),
        horizons_s=scale["horizons_s"].numbers(0.0),
        doubt_p=scale["doubt_p"].number(0.0, 1.0),
        time_note=scale["note"].text(),
        patience_s={k: v.number() for k, v in scale["patience_s"].entries().items()},
        said=tuple(sorted(map(_said, whole["timeline"].items()), key=lambda s: s.at_s)),
        samples=read_samples(whole["samples"]),
    )


def _fleet(value: Value) -> FleetFigures:
    return FleetFigures(
        requests=value["requests"].number(0.0),
        failed=value["failed"].number(0.0),
        slow=value["slow"].number(0.0),
        shed=value["shed"].number(0.0),
        bad_weighted=value["bad_weighted"].number(0.0),
        weighted_demand=value["weighted_demand"].number(0.0),
        p50_ms=value["p50_ms"].maybe(0.0),
        p99_ms=value["p99_ms"].maybe(0.0),
    )


def _mix(fleet: Value, classes: tuple[str, ...]) -> dict[str, float]:
    counts = {name: fleet["by_class"][name]["requests"].number(0.0) for name in classes}
    total = sum(counts.values())
    return {name: n / total if total else 0.0 for name, n in counts.items()}


def _fault(value: Value, sides: tuple[str, ...]) -> Fault:
    known = value.get("known_s")
    start, end = (v.number() for v in value["window_s"].items(2))
    return Fault(
        kind=value["kind"].text(),
        cells=tuple(cell.text() for cell in value["cells"].items()),
        predictable=value["predictable"].flag(),
        at_s=value["at_s"].number(),
        ends_s=value["ends_s"].number(),
        known_s=None if known is None else known.number(),
        window_s=(start, end),
        onset_s=value["onset_s"].maybe(),
        relieved_s=value["relieved_s"].maybe(),
        lead_s=value["lead_time_s"].maybe(),
        bad_weighted=_by_side(value["bad_weighted"], sides),
    )


def _surge(value: Value) -> Surge:
    return Surge(
        request_class=value["class"].text(),
        factor=value["factor"].number(0.0),
        at_s=value["at_s"].number(),
        ends_s=value["ends_s"].number(),
    )


def _oracle(value: Value, sides: tuple[str, ...], seconds: int) -> Oracle | None:
    if value.raw is None:
        return None
    run = value.get("run")
    return Oracle(
        ratio=None if run is None else run["bad_weighted_ratio"].number(0.0),
        over_points={} if run is None else {s: run["over_points"][s].number() for s in sides},
        per_s=tuple(v.number(0.0) for v in value["bad_weighted"].items(seconds)),
    )


def _by_side(value: Value, sides: tuple[str, ...]) -> dict[str, float]:
    return {name: value[name].number(0.0) for name in sides}


def _said(value: Value) -> Said:
    return Said(
        at_s=value["at_s"].number(),
        cell=value["cell"].text(),
        code=value["code"].text(),
        text=value["text"].text(),
        moved=value["moved"].flag(),
    )
