from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from foreshard.controller.status import Instruments, snapshot
from foreshard.lab import service
from foreshard.lab.scores import FORESHARD, REACTIVE
from foreshard.lab.screen import LiveScreen, PlainScreen, screen_for
from foreshard.lab.steering import HORIZONS_S, PATIENCE
from foreshard.lab.story import Story
from foreshard.lab.watch import Watch
from tests.engine.shop import CELLS, START_S, Shop, calm, engine_of, fleet_of, leaking

STORY = Story(name="quiet", duration_s=60.0, warm_up_s=5.0, faults=())


def watch(tmp_path: Path) -> Watch:
    return Watch(start_at_s=START_S, story=STORY, log=tmp_path / "load.log")


def statuses(ticks: int) -> list[Mapping[str, Any]]:
    """What a real engine says of itself while a cell leaks."""
    fleet = fleet_of()
    shop = Shop(engine=engine_of(fleet), fleet=fleet)
    kept = Instruments()
    found = []
    for i in range(ticks):
        forecast = calm(0.0, eu_2=leaking()) if i >= 12 else calm(0.0)
        decision = shop.tick(forecast)
        for reason in decision.routing.because:
            kept.is_news(reason)
        seen = shop.observe()
        found.append(
            json.loads(
                json.dumps(
                    snapshot(decision, seen, forecast, shop.state, kept, fleet=fleet), default=dict
                )
            )
        )
    return found


def figures(sent: int) -> str:
    row = {"sent": sent, "failed": 1, "slow": 2, "shed": 3}
    fleets = {name: {c.name: row for c in service.CLASSES} for name in (REACTIVE, FORESHARD)}
    return json.dumps({"fleets": fleets, "bad_weighted": {REACTIVE: 9.0, FORESHARD: 1.0}}) + "\n"


def test_before_anything_happened_there_is_nothing_to_tell(tmp_path: Path) -> None:
    seen = watch(tmp_path)
    seen.read_load()
    seen.steered(None)
    assert seen.conduct() == {}
    assert seen.said() == []
    assert seen.lives().up.shape == (0, 6)


def test_the_same_status_is_not_taken_twice(tmp_path: Path) -> None:
    seen = watch(tmp_path)
    told = statuses(20)
    for status in told:
        seen.steered(status)
        seen.steered(status)
    conduct = seen.conduct()
    assert conduct["shares"].t_s.tolist() == [float(i) for i in range(1, 21)]
    assert conduct["shares"].share.shape == (20, 3, 6)
    assert conduct["decisions"] == told[-1]["decisions"]
    assert conduct["engine"]["ticks"] == told[-1]["engine"]["ticks"]


def test_every_reason_is_told_once_in_the_order_of_time(tmp_path: Path) -> None:
    seen = watch(tmp_path)
    for status in statuses(20):
        seen.steered(status)
    said = [(e["cell"], e["code"]) for e in seen.said()]
    assert len(said) == len(set(said))
    assert said.index(("eu-2", "cell.doubted")) < said.index(("eu-2", "cell.evacuated"))


def test_processes_that_nobody_named_do_not_run(tmp_path: Path) -> None:
    seen = watch(tmp_path)
    seen.reactive({"eu-1": True}, now_s=START_S + 2.0)
    lives = seen.lives()
    assert lives.t_s.tolist() == [2.0]
    assert lives.up.tolist() == [[True] + [False] * 5]


def test_the_load_is_added_up_once_whatever_way_its_lines_arrive(tmp_path: Path) -> None:
    seen = watch(tmp_path)
    written = "a warning of a library\n" + figures(10) + '{"other": 1}\n' + figures(5)
    for cut in (20, 200, len(written)):
        seen._log.write_text(written[:cut])
        seen.read_load()
        seen.read_load()
    assert seen.totals[REACTIVE] == {"sent": 45, "failed": 6, "slow": 12, "shed": 18}
    assert seen.load["bad_weighted"][FORESHARD] == 1.0


def test_the_time_scale_is_declared(tmp_path: Path) -> None:
    scale = watch(tmp_path).time_scale()
    assert scale["patience_s"] == PATIENCE
    assert "20 s and 60 s in place of 5 min and 1 h" in str(scale["note"])


def test_samples_for_pictures_are_plain_json(tmp_path: Path) -> None:
    seen = watch(tmp_path)
    for status in statuses(14):
        seen.steered(status)
    drawn = json.loads(json.dumps(seen.timeline()))
    assert drawn["samples"]["cells"] == list(CELLS)
    assert drawn["timeline"][0]["at_s"] == 1.0


def shown(screen: PlainScreen | LiveScreen, seen: Watch) -> str:
    screen._console = Console(width=140, record=True, highlight=False, force_terminal=False)
    if isinstance(screen, LiveScreen):
        screen.show(seen)
        screen._console.print(screen._live.renderable)
    else:
        screen.show(seen)
    return screen._console.export_text()


@pytest.mark.parametrize("headless", [True, False])
def test_a_screen_shows_an_empty_run_and_a_full_one(tmp_path: Path, headless: bool) -> None:
    seen = watch(tmp_path)
    assert "weighted bad" in shown(screen_for(headless=headless), seen)
    for status in statuses(20):
        seen.steered(status)
    seen._log.write_text(figures(10))
    seen.read_load()
    text = shown(screen_for(headless=headless), seen)
    assert "memory reaches its limit" in text
    assert REACTIVE in text
    if not headless:
        assert all(cell in text for cell in CELLS)
        assert f"P({HORIZONS_S[0]:g} s)" in text


def test_the_plain_screen_says_each_decision_once(tmp_path: Path) -> None:
    seen = watch(tmp_path)
    screen = PlainScreen()
    screen._console = Console(width=140, record=True, highlight=False)
    for status in statuses(20):
        seen.steered(status)
        screen.show(seen)
    text = screen._console.export_text()
    assert text.count("half of its work") == 1
