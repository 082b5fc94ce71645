"""This module is what our processes tell Prometheus, in its text format.

A page is made when it is asked for, out of what is known anyway: the loop never waits for it.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from foreshard import __version__
from foreshard.controller.vitals import Turn, Vitals

__all__ = ["engine_page", "relay_page", "serve_page"]

STARTED_S = time.time()
PLAN_OUTCOMES = ("applied", "rejected", "unsent", "observed")
QUANTILES = {"0.5": "tick_ms_p50", "0.99": "tick_ms_p99"}

Rows = Iterable[tuple[Sequence[str], float]]


def engine_page(vitals: Vitals) -> str:
    """The engine's page."""
    return _text(_engine(vitals))


def serve_page(status: Mapping[str, Any]) -> str:
    """The page of `serve`, from what it says of itself (`PlanControl.status`)."""
    return _text(_serve(status))


def relay_page(status: Mapping[str, Mapping[str, Any]]) -> str:
    """The page of a relay, from what it says of itself (`Relay.status`)."""
    return _text(_relay(status))


class _Families(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = tuple(families)

    def collect(self) -> Iterable[Metric]:
        return self._families


def _text(families: Iterable[Metric]) -> str:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(families))
    return generate_latest(registry).decode()


def _process(role: str) -> Iterator[Metric]:
    built = "Always 1; the version is in its label."
    yield _gauge(
        "foreshard_build_info", built, [((__version__, role), 1.0)], labels=("version", "role")
    )
    for name, what, value in (
        ("start_time_seconds", "When the process started.", STARTED_S),
        ("resident_memory_bytes", "Memory of the process.", _resident_bytes()),
    ):
        yield _gauge(f"foreshard_process_{name}", what, [((role,), value)], labels=("role",))


def _engine(vitals: Vitals) -> Iterator[Metric]:
    yield from _process("engine")
    yield _counter(
        "foreshard_ticks",
        "Turns of the loop, by how they ended.",
        [((turn.value,), vitals.turns[turn]) for turn in Turn],
    )
    yield _counter(
        "foreshard_plans",
        "Plans that were to be made live, by what became of them.",
        [((outcome,), vitals.plans[outcome]) for outcome in PLAN_OUTCOMES],
    )
    failures = CounterMetricFamily("foreshard_store_failures", "Decisions that went unrecorded.")
    failures.add_metric([], vitals.store_failures)
    yield failures
    for name, what, value in (
        ("tick", "End of the last turn, whatever came of it.", vitals.turn_at_s),
        ("heartbeat", "End of the last turn that went well as a whole.", vitals.heartbeat_s),
    ):
        if value is not None:
            yield _gauge(f"foreshard_{name}_timestamp_seconds", what, [((), value)])
    if vitals.status is not None:
        yield from _fleet(vitals.status, vitals.priorities)


def _fleet(status: Mapping[str, Any], priorities: Mapping[str, str]) -> Iterator[Metric]:
    engine, cells = status["engine"], status["cells"]
    yield _gauge("foreshard_plan_version", "Of the newest table.", [((), status["version"])])
    yield _gauge(
        "foreshard_guard_refusals_in_a_row",
        "Plans in a row of which the guards let nothing through.",
        [((), engine["refusals"])],
    )
    age_s = status["forecast"]["age_s"]
    yield _gauge(
        "foreshard_forecast_age_seconds",
        "Of the newest forecast.",
        [] if age_s is None else [((), age_s)],
    )
    outlook_age_s = status["forecast"]["outlook_age_s"]
    yield _gauge(
        "foreshard_outlook_age_seconds",
        "Since the newest step that the trained model has seen.",
        [] if outlook_age_s is None else [((), outlook_age_s)],
    )
    yield _gauge(
        "foreshard_forecast_degraded",
        "1 = a trained model is not heard, and forecasts are those of trend alone.",
        [((), float(bool(status["forecast"]["degraded"])))],
    )
    yield _gauge(
        "foreshard_tick_duration_seconds",
        "How long a decision took, over the last hour.",
        [((q,), engine[key] / 1e3) for q, key in QUANTILES.items() if engine[key] is not None],
        labels=("q",),
    )
    silent = sum(cell["age_s"] is None for cell in cells.values())
    yield _gauge(
        "foreshard_sources_missing",
        "Sources that told nothing in the last turn.",
        [(("cell",), silent), (("balancers",), float(status["balancers_silent"]))],
        labels=("source",),
    )
    yield _gauge(
        "foreshard_shed_ratio",
        "Part of a class's demand that the plan turns away.",
        [((name, priorities.get(name, "")), ratio) for name, ratio in status["shed"].items()],
        labels=("class", "priority"),
    )
    yield _gauge(
        "foreshard_cell_phase",
        "1 for the phase in which a cell is.",
        [((name, cell["phase"]), 1.0) for name, cell in cells.items()],
        labels=("cell", "phase"),
    )
    yield _gauge(
        "foreshard_cell_failure_probability",
        "Forecast that the cell fails within the horizon (seconds).",
        [
            ((name, horizon), p)
            for name, cell in cells.items()
            for horizon, p in cell["risk"]["p"].items()
        ],
        labels=("cell", "horizon"),
    )


def _serve(status: Mapping[str, Any]) -> Iterator[Metric]:
    yield from _process("serve")
    nodes, frozen = status["nodes"], status["frozen"]
    if status["version"] is not None:
        what = "Of the table that is served."
        yield _gauge("foreshard_serve_plan_version", what, [((), status["version"])])
    synced = sum(bool(node["synced"]) for node in nodes)
    yield _gauge(
        "foreshard_serve_envoys",
        "Connected Envoys.",
        [(("synced",), synced), (("behind",), len(nodes) - synced)],
        labels=("state",),
    )
    # Two proxies may bear one name: one line each, or Prometheus keeps either of them.
    nacks: Counter[str] = Counter()
    for node in nodes:
        nacks[node["node"]] += node["nacks"]
    yield _gauge(
        "foreshard_serve_nacks",
        "Refusals by Envoys of a name since they connected.",
        [((name,), count) for name, count in sorted(nacks.items())],
        labels=("node",),
    )
    yield _counter(
        "foreshard_serve_tables",
        "Tables that were to be made live.",
        [((what,), status[what]) for what in ("applied", "rejected")],
    )
    yield _gauge(
        "foreshard_serve_frozen",
        "1 while an operator has frozen the plan.",
        [((), float(frozen is not None))],
    )
    yield _gauge(
        "foreshard_serve_problems",
        "Things wrong with the committed table on the disk.",
        [((), len(status["problems"]))],
    )
    yield _gauge(
        "foreshard_serve_push_to_ack_seconds",
        "From a push to the last acknowledgement, the last 1,000 pushes.",
        [
            ((q,), status["push_to_ack_s"][key])
            for q, key in (("0.5", "p50"), ("0.99", "p99"))
            if status["push_to_ack_s"][key] is not None
        ],
        labels=("q",),
    )


def _relay(status: Mapping[str, Mapping[str, Any]]) -> Iterator[Metric]:
    yield from _process("relay")
    for name, what, key in (
        ("plan_version", "Of the plan that is at hand.", "version"),
        ("unconfirmed_seconds", "Since Foreshard last said that it is live.", "unconfirmed_s"),
        ("kept", "1 = that plan is on the disk.", "is_kept"),
        ("answering", "1 = the control plane answers.", "is_answering"),
        ("refused", "1 = what it last said did not verify.", "is_refused"),
    ):
        rows = [((origin,), each[key]) for origin, each in status.items()]
        known = [(labels, float(value)) for labels, value in rows if value is not None]
        yield _gauge(f"foreshard_relay_{name}", what, known, labels=("origin",))


def _gauge(name: str, what: str, rows: Rows, *, labels: Sequence[str] = ()) -> Metric:
    family = GaugeMetricFamily(name, what, labels=labels)
    for values, value in rows:
        family.add_metric(values, value)
    return family


def _counter(name: str, what: str, rows: Rows) -> Metric:
    family = CounterMetricFamily(name, what, labels=("outcome",))
    for values, value in rows:
        family.add_metric(values, value)
    return family


def _resident_bytes() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return float(pages * os.sysconf("SC_PAGE_SIZE"))
