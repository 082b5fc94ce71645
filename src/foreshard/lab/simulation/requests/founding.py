"""This module is the world of a scenario before the first request."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from foreshard.lab.scenario.scenario import Discipline, Scenario
from foreshard.lab.simulation.plant import LATENCY_EDGES_S, Fate
from foreshard.lab.simulation.requests.agenda import CHECKS, JUDGES, note
from foreshard.lab.simulation.requests.prequal import POOL
from foreshard.lab.simulation.requests.prequal import RECENT as KEPT
from foreshard.lab.simulation.requests.steering import tell_net
from foreshard.lab.simulation.requests.world import (
    CELL,
    CHECK,
    EVENT,
    FLOW,
    FOREVER,
    JOB,
    KIND,
    LINK,
    NET,
    NONE,
    PROBE,
    REQUEST,
    ROW,
    SERVED,
    STATE,
    TALLY,
    TOLD,
    Table,
    World,
    held,
    records,
)
from foreshard.model.safety_net import SafetyNet
from foreshard.planning.table import BACKUPS

__all__ = ["enlarged", "founded"]

PLACES: Final = 1_024


def founded(scenario: Scenario, *, seed: int) -> World:
    """Cells that are well and empty, proxies without a program."""
    origins, classes, cells = len(scenario.origins), len(scenario.offers), len(scenario.sites)
    proxies, make = origins * scenario.proxies, scenario.make
    is_sharing = make.discipline is Discipline.PROCESSOR_SHARING
    table = _cells(scenario)
    regions = {site.region: n for n, site in reversed(list(enumerate(scenario.sites)))}
    seconds = math.ceil(scenario.duration_s)
    seeds = np.random.SeedSequence(seed).generate_state(1 + origins * classes, np.uint64)
    w = World(
        state=_state(scenario),
        chance=seeds[:1].astype(np.uint64),
        net=records(NET, 1),
        events=records(EVENT, 2 * PLACES),
        requests=records(REQUEST, PLACES),
        flows=_flows(scenario, seeds[1:]),
        kinds=_kinds(scenario),
        cells=table,
        told=records(TOLD, cells),
        wait_s=np.zeros((cells, classes)),
        error_ratio=np.zeros((cells, classes)),
        free_s=np.full((cells, int(table["servers"].max())), -FOREVER),
        jobs=records(JOB, cells, min(make.connections, make.backlog) if is_sharing else 1),
        seen=np.zeros((cells, scenario.load.keys), dtype=np.bool_),
        recent=records(SERVED, cells, classes, KEPT),
        ended=np.zeros((cells, classes), dtype=np.int32),
        half_s=_half_s(scenario),
        home=np.array([regions.get(origin, NONE) for origin in scenario.origins], dtype=np.int32),
        links=records(LINK, proxies, classes, cells),
        rows=records(ROW, proxies, classes),
        checks=records(CHECK, proxies, cells),
        able=np.zeros((proxies, classes, cells), dtype=np.int32),
        upto=np.zeros((proxies, classes, cells)),
        slots=np.full((proxies, classes, 1), NONE, dtype=np.int32),
        backups=np.full((proxies, classes, cells, BACKUPS), NONE, dtype=np.int32),
        probes=records(PROBE, proxies, classes, POOL),
        asked=np.zeros((2, origins, classes)),
        tally=records(TALLY, origins, cells, classes),
        fates=np.zeros((seconds, origins, classes, len(Fate))),
        served=np.zeros((seconds, cells, classes)),
        latency=np.zeros((classes, len(LATENCY_EDGES_S) - 1)),
        crossed=np.zeros(seconds),
    )
    w.cells["region"] = [regions[site.region] for site in scenario.sites]
    w.links["since_s"] = -FOREVER
    w.rows["slow_until_s"] = -FOREVER
    w.rows["slots"] = 1
    w.checks["is_alive"] = True
    _free(w, 0)
    _begin_rounds(w, seed, SafetyNet())
    return w


def enlarged(w: World, *, requests: int, events: int) -> World:
    """The same with room for so many more requests and events."""
    more = w._replace(
        requests=np.concatenate([w.requests, records(REQUEST, requests)]),
        events=np.concatenate([w.events, records(EVENT, events)]),
    )
    _free(more, len(w.requests))
    return more


def _free(w: World, first: int) -> None:
    """Places from this one on are free."""
    state, count = w.state[0], len(w.requests) - first
    if count == 0:
        return
    w.requests["line_after"][first:] = np.arange(first + 1, len(w.requests) + 1)
    w.requests["line_after"][-1] = state["free"] if state["free_count"] else NONE
    state["free"] = first
    state["free_count"] += count


def _state(scenario: Scenario) -> Table:
    load, make = scenario.load, scenario.make
    state = records(STATE, 1)
    values = {
        "next_s": FOREVER,
        "until_s": scenario.duration_s,
        "swing": load.swing_ratio,
        "turn": 2.0 * math.pi / load.period_s,
        "warm_up_s": scenario.warm_up_s,
        "pool_wait_s": make.pool_wait_s,
        "cold_s": make.cold_s,
        "shape": make.service_cv**-2.0,
        "keys": load.keys,
        "client_retries": load.client_retries,
        "backlog": make.backlog,
        "proxies": scenario.proxies,
        "is_sharing": make.discipline is Discipline.PROCESSOR_SHARING,
    }
    for name, value in values.items():
        state[name] = value
    return state


def _flows(scenario: Scenario, seeds: np.ndarray) -> Table:
    """One for each origin and class, in this order."""
    whole = sum(offer.share for offer in scenario.offers)
    rate_rps = scenario.rate_rps() / whole
    flows = records(FLOW, len(seeds))
    for f, flow in enumerate(flows):
        o, k = divmod(f, len(scenario.offers))
        part = scenario.load.origins.get(scenario.origins[o], 1.0)
        flow["origin"], flow["k"] = o, k
        flow["rate_rps"] = rate_rps * scenario.offers[k].share * part
        flow["seed"] = seeds[f]
        flow["due_s"] = FOREVER
    flows["demand"] = 1.0
    return flows


def _kinds(scenario: Scenario) -> Table:
    kinds = records(KIND, len(scenario.offers))
    for kind, offer in zip(kinds, scenario.offers, strict=True):
        of, work = offer.request_class, offer.work
        kind["cpu_s"], kind["first_s"] = work.cpu_s, work.cold_s
        kind["dependency_s"] = work.dependency_s if work.dependency else 0.0
        kind["objective_s"], kind["timeout_s"] = of.objective_s, of.timeout_s
        kind["is_retriable"], kind["is_keyed"] = of.retriable, of.is_keyed
        kind["owns_data"] = of.data is not None
    kinds["head"] = kinds["tail"] = NONE
    return kinds


def _cells(scenario: Scenario) -> Table:
    """Cpus that are no whole number are the next larger number of slower ones."""
    cells = records(CELL, len(scenario.sites))
    cpus = np.array(scenario.cpus())
    cells["servers"] = np.ceil(cpus)
    cells["size"] = cpus / np.ceil(cpus)
    cells["speed"] = 1.0
    cells["connections"] = scenario.make.connections
    cells["started_s"] = -FOREVER
    cells["due_s"] = FOREVER
    cells["is_up"] = cells["is_reachable"] = True
    for name in ("line_head", "line_tail", "first", "last"):
        cells[name] = NONE
    return cells


def _half_s(scenario: Scenario) -> np.ndarray:
    fleet = scenario.fleet()
    both_ms = [[fleet.distance_ms(o, cell) for cell in fleet.cells] for o in scenario.origins]
    return np.array(both_ms) / 2_000.0


def _begin_rounds(w: World, seed: int, net: SafetyNet) -> None:
    """Checks and judgements of the proxies are not in step."""
    tell_net(w.net, net)
    place = held(w)
    phases = np.random.default_rng([seed, 1]).random((len(w.rows), 2))
    for p, (check, judge) in enumerate(phases):
        note(place, check * net.check_interval_s, CHECKS, p, 0)
        note(place, judge * net.eject_interval_s, JUDGES, p, 0)
