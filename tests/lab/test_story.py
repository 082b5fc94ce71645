import asyncio
import json
import time
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreshard.lab import service
from foreshard.lab.cell.faults import Fault, FaultKind
from foreshard.lab.faults import FaultSpec, announce, play
from foreshard.lab.story import NATURAL_S, STORIES, Story, default_story, quiet_story, story
from foreshard.model.errors import InvalidValueError, LabError
from foreshard.model.events import EventKind, SystemEvent


class Notebook:
    """A fleet that writes down what is done to it and when; not up until `up_at_s`."""

    def __init__(self, *, up_at_s: float = 0.0) -> None:
        self.done: list[tuple[str, str, Fault | None]] = []
        self._up_at_s = up_at_s

    async def inject(self, cell: str, fault: Fault) -> None:
        if time.time() < self._up_at_s:
            raise LabError(f"cell {cell} is not up")
        self.done.append(("inject", cell, fault))

    async def clear(self, cell: str) -> None:
        self.done.append(("clear", cell, None))


def spec(
    kind: FaultKind, *, at_s: float = 0.05, lasts_s: float = 0.1, known_s: float | None = None
) -> FaultSpec:
    fault = Fault.of(kind, duration_s=0.1)
    return FaultSpec(cells=("eu-1",), fault=fault, at_s=at_s, lasts_s=lasts_s, known_s=known_s)


def ignore(begun: FaultSpec) -> None:
    """For tests that do not ask when a fault began."""


def test_the_default_story_tells_of_every_fault_it_must() -> None:
    told = {f.fault.kind: f for f in default_story().faults}
    assert set(told) == {
        FaultKind.LEAK,
        FaultKind.SLOW_DEPENDENCY,
        FaultKind.CREEP,
        FaultKind.MAINTENANCE,
        FaultKind.CRASH,
    }
    assert len(told[FaultKind.SLOW_DEPENDENCY].cells) == 2
    maintenance = told[FaultKind.MAINTENANCE]
    assert maintenance.known_s == maintenance.at_s - 30.0
    assert [f.fault.kind for f in default_story().faults if not f.is_predictable] == ["crash"]


@given(duration_s=st.floats(30.0, 3_600.0))
def test_faults_come_one_after_the_other_on_different_cells(duration_s: float) -> None:
    told = default_story(duration_s)
    cells = [cell for f in told.faults for cell in f.cells]
    assert len(cells) == len(set(cells))
    assert set(cells) <= {site.name for site in service.SITES}
    for one, next_one in pairwise(told.faults):
        assert one.ends_s < next_one.at_s
    assert told.warm_up_s < told.faults[0].at_s
    assert told.faults[-1].at_s < told.duration_s


def test_the_harm_of_a_fault_is_counted_until_the_next_one_begins() -> None:
    told = default_story()
    assert told.window_s(0, settle_s=5.0) == (25.0, 70.0)
    assert told.window_s(0, settle_s=50.0) == (25.0, 78.0)
    assert told.window_s(4, settle_s=50.0) == (228.0, 240.0)


def test_nothing_happens_in_the_quiet_story() -> None:
    assert quiet_story(60.0).faults == ()


def busy(told: Story, *cells: str, at_s: float) -> float:
    """Utilisation at a moment, without the swing; `cells` are gone."""
    cpus = (len(service.SITES) - len(cells)) * service.CELL_CPUS
    work = told.load * len(service.SITES) * service.CELL_CPUS
    for surge in told.surges:
        if surge.at_s <= at_s < surge.ends_s:
            name = list(service.MIX)[surge.request_class]
            part = service.MIX[name] * service.WORK[name].cpu_s / service.mean_cpu_s()
            work *= 1.0 + part * (surge.factor - 1.0)
    return work / cpus


def test_the_overloads_are_as_great_as_the_table_says() -> None:
    zone, surge, tight = story("zone"), story("surge"), story("tight")
    (dying,) = zone.faults
    assert len(dying.cells) == len(service.SITES) / 2
    assert busy(zone, at_s=0.0) / (0.5 + 0.5 * dying.fault.magnitude) == pytest.approx(1.107, 1e-3)
    assert (dying.at_s, dying.ends_s) == (25.0, 65.0)
    assert (surge.surges[0].at_s, surge.surges[0].ends_s) == (30.0, 60.0)
    assert busy(surge, at_s=29.0) == pytest.approx(0.62)
    assert busy(surge, at_s=31.0) == pytest.approx(1.30, abs=0.005)
    (leak,) = tight.faults
    assert (leak.at_s, leak.ends_s) == (15.0, 40.0)
    assert busy(tight, *leak.cells, at_s=41.0) == pytest.approx(0.96)


def test_a_zone_that_dies_is_not_cured_by_restarting_its_cells() -> None:
    (dying,) = story("zone").faults
    assert dying.fault.kind.is_outside
    assert not dying.fault.kind.is_external


@pytest.mark.parametrize("name", STORIES)
def test_a_story_has_its_own_length_and_load_unless_told_otherwise(name: str) -> None:
    assert story(name).duration_s == NATURAL_S[name]
    assert story(name).load == (0.8 if name == "tight" else 0.62)
    other = story(name, 60.0, 0.5)
    assert (other.duration_s, other.load) == (60.0, 0.5)
    stretches = [*story(name).troubled_s(settle_s=0.0), (0.0, 0.0)]
    halved = [*story(name, NATURAL_S[name] / 2.0).troubled_s(settle_s=0.0), (0.0, 0.0)]
    assert halved == [(a / 2.0, b / 2.0) for a, b in stretches]
    assert story(name).demand().rate_rps == service.offered_rps(story(name).load)


@pytest.mark.parametrize(("name", "duration_s"), [("loud", 240.0), ("default", 5.0)])
def test_a_story_that_cannot_be_told_is_refused(name: str, duration_s: float) -> None:
    with pytest.raises(LabError, match=name):
        story(name, duration_s)


def test_a_fault_announced_after_it_began_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="known_s"):
        spec(FaultKind.MAINTENANCE, at_s=1.0, known_s=2.0)


async def test_both_fleets_get_the_very_same_fault_and_heal_alike(tmp_path: Path) -> None:
    one, two = Notebook(), Notebook()
    creep = spec(FaultKind.CREEP)
    await play(
        [creep],
        {"one": one, "two": two},
        start_at_s=time.time(),
        events=tmp_path / "events.json",
        began=ignore,
    )
    assert one.done == two.done == [("inject", "eu-1", creep.fault), ("clear", "eu-1", None)]


async def test_a_leak_is_never_cleared_in_its_last_second(tmp_path: Path) -> None:
    fleet = Notebook()
    await play(
        [spec(FaultKind.LEAK)],
        {"one": fleet},
        start_at_s=time.time(),
        events=tmp_path / "events.json",
        began=ignore,
    )
    assert [what for what, _, _ in fleet.done] == ["inject"]


async def test_a_cell_that_is_down_gets_the_rest_of_the_fault_later(tmp_path: Path) -> None:
    now_s = time.time()
    fleet = Notebook(up_at_s=now_s + 0.5)
    await play(
        [spec(FaultKind.POOL, at_s=0.0, lasts_s=2.0)],
        {"one": fleet},
        start_at_s=now_s,
        events=tmp_path / "events.json",
        began=ignore,
    )
    what, _, fault = fleet.done[0]
    assert what == "inject"
    assert fault is not None
    assert fault.elapsed_s >= 0.45


async def test_maintenance_is_announced_when_it_is_known_and_not_before(tmp_path: Path) -> None:
    events, start_at_s = tmp_path / "events.json", time.time()
    ahead = spec(FaultKind.MAINTENANCE, at_s=0.5, known_s=0.3)
    seen: list[str] = []
    playing = asyncio.create_task(
        play(
            [ahead],
            {"one": Notebook()},
            start_at_s=start_at_s,
            events=events,
            began=lambda _: seen.append(events.read_text()),
        )
    )
    await asyncio.sleep(0.1)
    assert json.loads(events.read_text()) == []
    await playing
    (row,) = json.loads(seen[0])
    row |= {"kind": EventKind(row["kind"]), "cells": frozenset(row["cells"])}
    assert SystemEvent(**row) == announce(ahead, start_at_s=start_at_s)


def test_what_is_not_announced_has_no_event() -> None:
    with pytest.raises(LabError, match="not announced"):
        announce(spec(FaultKind.LEAK), start_at_s=0.0)
