"""This module is real requests in the simulation's books, so that both are scored alike."""

from __future__ import annotations

import math

import numpy as np

from foreshard.lab.records import UNKNOWN_CELL, Records, Verdict, judge
from foreshard.lab.scenario.scenario import Scenario
from foreshard.lab.simulation.effects import Floats
from foreshard.lab.simulation.plant import LATENCY_EDGES_S, Fate, Ledger

__all__ = ["ledger_of"]


def ledger_of(records: Records, scenario: Scenario, *, cells: tuple[str, ...]) -> Ledger:
    """What became of all requests of one fleet.

    Args:
        records: What the load generator saw; requests that were cut off with the run are left
            out, they are nobody's fault.
        scenario: Of one origin.
        cells: Names in the order of the records' cell index.
    """
    done = records.finished()
    verdict = judge(done, scenario.classes)
    seconds, classes = math.ceil(scenario.duration_s), len(scenario.classes)
    fate = _fates(verdict)
    arrived = np.minimum(done.t_s.astype(np.intp), seconds - 1)
    of_class = done.request_class.astype(np.intp)
    fates = np.zeros((seconds, classes, len(Fate)))
    np.add.at(fates, (arrived, of_class, fate), 1.0)

    well = ((fate == Fate.GOOD) | (fate == Fate.SLOW)) & (done.cell != UNKNOWN_CELL)
    end_s = done.t_s + np.nan_to_num(done.lateness_s) + np.nan_to_num(done.latency_s)
    ended = np.clip(end_s.astype(np.intp), 0, seconds - 1)
    names = [site.name for site in scenario.sites]
    place = np.array([names.index(name) for name in cells], dtype=np.intp)
    cell = place[done.cell[well].astype(np.intp)]
    served = np.zeros((seconds, len(names), classes))
    np.add.at(served, (ended[well], cell, of_class[well]), 1.0)
    away = np.array([site.region != scenario.origins[0] for site in scenario.sites])
    return Ledger(
        fates=fates[:, None],
        served=served,
        latency=_latency(done, fate, scenario),
        crossed=served[:, away].sum(axis=(1, 2)),
    )


def _fates(verdict: Verdict) -> np.ndarray[tuple[int, ...], np.dtype[np.intp]]:
    fate = np.full(len(verdict.failed), Fate.GOOD, dtype=np.intp)
    fate[verdict.failed], fate[verdict.slow], fate[verdict.shed] = (
        Fate.FAILED,
        Fate.SLOW,
        Fate.SHED,
    )
    return fate


def _latency(
    done: Records, fate: np.ndarray[tuple[int, ...], np.dtype[np.intp]], scenario: Scenario
) -> Floats:
    """[K, B] of answers to requests that came after the warm-up."""
    bins = len(LATENCY_EDGES_S) - 1
    counted = ((fate == Fate.GOOD) | (fate == Fate.SLOW)) & (done.t_s >= scenario.warm_up_s)
    at = np.searchsorted(np.array(LATENCY_EDGES_S), done.latency_s[counted], side="right") - 1
    found = np.zeros((len(scenario.classes), bins))
    np.add.at(found, (done.request_class[counted].astype(np.intp), np.clip(at, 0, bins - 1)), 1.0)
    return found
