from __future__ import annotations

from typing import Any

import pytest

from foreshard.controller import keeping
from foreshard.controller.keeping import Keeping, Lived
from foreshard.controller.vitals import Vitals
from foreshard.engine import EngineState
from foreshard.testing import MemoryStore
from tests.engine.shop import Shop, calm, engine_of, fleet_of


class Ledger(MemoryStore):
    """Counts what is put, and makes it cost thread time."""

    def __init__(self, clock: list[float], cost_s: float) -> None:
        super().__init__()
        self.puts: list[str] = []
        self._clock, self.cost_s = clock, cost_s

    def put(self, key: str, value: Any) -> None:  # noqa: ANN401 - any mapping
        super().put(key, value)
        self.puts.append(key)
        self._clock[0] += self.cost_s


class Stage:
    """A shop whose turns are kept."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, cost_s: float = 0.0) -> None:
        clock = [0.0]
        monkeypatch.setattr(keeping, "thread_time", lambda: clock[0])
        fleet = fleet_of()
        self.shop = Shop(engine=engine_of(fleet), fleet=fleet)
        self.store = Ledger(clock, cost_s)
        self.vitals = Vitals()
        self.keeping = Keeping(
            engine=self.shop.engine, fleet=self.shop.fleet, store=self.store, vitals=self.vitals
        )

    def turn(self) -> EngineState:
        forecast = calm(self.shop.now_s + 1.0)
        decision = self.shop.tick(forecast)
        self.keeping.keep(
            Lived(
                decision=decision,
                observation=self.shop.observe(),
                forecast=forecast,
                before=None,
                after=self.shop.state,
                outcome="applied",
            )
        )
        return self.shop.state


def test_what_must_survive_is_written_when_it_has_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(monkeypatch)
    for _ in range(12):
        state = stage.turn()
        assert stage.store.get("memory") == stage.shop.engine.memory(state)
    calm_turns = len(stage.store.puts)
    stage.turn()
    assert stage.store.puts[calm_turns:] == ["status"]
    stage.shop.down.add("eu-2")
    state = stage.turn()
    assert stage.store.puts[-1] == "memory"
    assert stage.store.get("memory") == stage.shop.engine.memory(state)


def test_what_could_not_be_written_is_written_the_next_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = Stage(monkeypatch)
    stage.turn()
    stage.store.fail("disk is full")
    stage.shop.down.add("eu-2")
    stage.turn()
    assert stage.vitals.store_failures == 1
    stage.store.fail("")
    state = stage.turn()
    assert stage.store.get("memory") == stage.shop.engine.memory(state)


def test_a_status_that_is_dear_to_write_is_written_less_often(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cheap, dear = Stage(monkeypatch, cost_s=0.01), Stage(monkeypatch, cost_s=0.2)
    for stage in (cheap, dear):
        monkeypatch.setattr(keeping, "thread_time", lambda clock=stage.store._clock: clock[0])
        for _ in range(20):
            stage.turn()
    assert cheap.store.puts.count("status") == 20
    # Three are written at once: the first may be dear for being the first.
    assert dear.store.puts.count("status") == 7


def test_a_dear_write_or_two_do_not_silence_the_status(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(monkeypatch, cost_s=0.01)
    for turn in range(20):
        stage.store.cost_s = 2.0 if turn in {0, 1, 7, 8} else 0.01
        stage.turn()
    assert stage.store.puts.count("status") == 20


def test_a_status_describes_each_cell_when_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = Stage(monkeypatch)
    stage.turn()
    status = stage.vitals.status
    assert status is not None
    cells = status["cells"]
    assert list(cells) == sorted(stage.shop.fleet.names)
    assert cells["eu-1"]["phase"] == "active"
    assert cells["eu-1"] is cells["eu-1"]
    with pytest.raises(KeyError):
        cells["nowhere"]


def test_a_status_names_the_flows_that_a_cell_serves_and_no_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = Stage(monkeypatch)
    stage.shop.down.add("eu-2")
    for _ in range(3):
        stage.turn()
    status = stage.vitals.status
    plan = stage.shop.state.plan
    assert status is not None
    assert plan is not None
    for name, cell in status["cells"].items():
        given = {
            f"{flow.origin}/{flow.request_class}": round(split.share(name), 5)
            for flow, split in plan.splits.items()
            if split.share(name) > 0.0
        }
        assert cell["shares"] == given
    assert status["cells"]["eu-2"]["shares"] == {}


def test_a_record_says_what_a_plan_gives_in_the_plan_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = Stage(monkeypatch)
    stage.turn()
    record = stage.store.records[-1]
    assert record["decision"]["plan"]["splits"]
    assert list(record["inputs"]["cells"]) == sorted(stage.shop.fleet.names)
    assert all(
        "phase" in cell and "shares" not in cell for cell in record["inputs"]["cells"].values()
    )
    status = stage.vitals.status
    assert status is not None
    assert status["cells"]["eu-1"]["shares"]
