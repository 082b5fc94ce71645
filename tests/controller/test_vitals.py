from __future__ import annotations

from foreshard.controller.page import engine_page
from foreshard.controller.vitals import Turn, Vitals
from tests.controller.test_loop import Stage


async def test_the_heartbeat_moves_with_every_turn_that_went_well() -> None:
    stage = Stage()
    await stage.turn(12)
    first = stage.loop.vitals.heartbeat_s
    await stage.turn()
    assert first is not None
    assert stage.loop.vitals.heartbeat_s == first + 1.0
    assert stage.loop.vitals.turn_at_s == first + 1.0


async def test_a_loop_without_a_sink_turns_and_has_no_heartbeat() -> None:
    stage = Stage()
    stage.sink.cut("no route to host")
    await stage.wait(3)
    vitals = stage.loop.vitals
    assert vitals.heartbeat_s is None
    assert vitals.turns == {Turn.UNADOPTED: 3}
    assert "foreshard_heartbeat_timestamp_seconds " not in engine_page(vitals)


async def test_the_heartbeat_stops_while_the_balancers_are_silent() -> None:
    stage = Stage()
    await stage.turn(12)
    before = stage.loop.vitals.heartbeat_s
    stage.traffic.silence("admin page gone")
    await stage.wait(15)
    vitals = stage.loop.vitals
    assert vitals.heartbeat_s == before
    assert vitals.turns[Turn.BLIND] > 0
    assert 'foreshard_sources_missing{source="balancers"} 1.0' in engine_page(vitals)


async def test_the_heartbeat_stops_while_balancers_reject_and_goes_on_while_frozen() -> None:
    stage = Stage()
    await stage.turn(12)
    before = stage.loop.vitals.heartbeat_s
    stage.serve(down=("us-2",))
    stage.sink.refuse("no such cluster")
    await stage.wait(4)
    assert stage.loop.vitals.heartbeat_s == before
    assert stage.loop.vitals.plans["rejected"] > 0
    stage.sink.refuse("frozen: holiday")
    await stage.wait(4)
    assert stage.loop.vitals.turns[Turn.FROZEN] > 0
    assert stage.loop.vitals.heartbeat_s == stage.clock.now_s()


async def test_decisions_that_cannot_be_kept_are_counted_and_do_not_stop_the_heart() -> None:
    stage = Stage()
    stage.store.fail("disk full")
    await stage.turn(12)
    assert stage.loop.vitals.store_failures == 12
    assert stage.loop.vitals.heartbeat_s == stage.clock.now_s()


def test_a_page_before_the_first_turn_tells_the_process_alone() -> None:
    page = engine_page(Vitals())
    assert 'foreshard_build_info{role="engine"' in page
    assert "foreshard_plan_version" not in page
