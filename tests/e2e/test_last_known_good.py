"""An Envoy that starts while Foreshard is down serves the last committed plan, and lets go of it.

Real processes throughout: `foreshard serve`, `foreshard relay`, Envoy.
"""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from foreshard.ports import Applied
from tests.adapters.routing.serve_bench import shop_table
from tests.e2e.outage import Edge, Outage, outage, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

# Two seconds, as a machine with nothing else to do counts them.
SOON_POLLS = 100


@asynccontextmanager
async def asking(edge: Edge) -> AsyncIterator[Counter[int]]:
    """Light, steady traffic while the block runs, and what became of it."""
    statuses: Counter[int] = Counter()

    async def ask() -> None:
        number = 0
        while True:
            number += 1
            key = {"x-key": f"key-{number}"}
            statuses[(await edge.ask("/search"))[0]] += 1
            statuses[(await edge.ask("/checkout", method="POST", headers=key))[0]] += 1
            await asyncio.sleep(0.005)

    task = asyncio.create_task(ask())
    try:
        yield statuses
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def commit(site: Outage, version: int, search: str) -> None:
    """Make a table live that sends all of search to one cell."""
    outcome = await site.sink.apply(shop_table(version, site.cells, search={search: 1}))
    assert isinstance(outcome, Applied), outcome


async def test_an_envoy_that_starts_without_foreshard_serves_the_last_plan_and_lets_go() -> None:
    async with outage("a", "b", key=b"a secret that both of them share") as site:
        serve = await site.serve()
        await site.relay()
        await commit(site, 1, "a")
        await commit(site, 2, "b")
        await site.until_kept(2)
        await site.end(serve)

        edge = await site.envoy()
        async with edge.session:
            await until(edge.serves, "Envoy serves without Foreshard", polls=SOON_POLLS)
            assert await edge.ask("/search") == (200, "b")
            identifier = await edge.stats("control_plane.identifier")
            assert "relay: plan 2, committed 20" in identifier["control_plane.identifier"]
            said = await site.until_told("relay.stands_in")
            assert said["version"] == 2
            assert str(said["committed"]).startswith("20")
            assert isinstance(said["unconfirmed_s"], float)
            updates = await edge.updates()
            async with asking(edge) as statuses:
                serve = await site.serve()
                await site.until_steered()
                assert await edge.updates() == updates, "it was told what it knew already"
                await commit(site, 3, "a")
                assert await edge.ask("/search") == (200, "a")
                await site.until_kept(3)
            assert set(statuses) == {200}
            assert statuses[200] > 20


async def test_a_control_plane_that_hangs_is_as_good_as_gone() -> None:
    async with outage("a") as site:
        serve = await site.serve()
        await site.relay()
        await commit(site, 1, "a")
        await site.until_kept(1)
        serve.send(signal.SIGSTOP)
        edge = await site.envoy()
        async with edge.session:
            await until(edge.serves, "Envoy serves without Foreshard", polls=SOON_POLLS)
            serve.send(signal.SIGCONT)
            await site.until_steered()


async def test_a_relay_takes_nobody_back_to_an_older_plan() -> None:
    async with outage("a", "b") as site:
        serve = await site.serve()
        relay = await site.relay()
        await commit(site, 1, "a")
        await site.until_kept(1)
        edge = await site.envoy()
        async with edge.session:
            await site.until_steered()
            await site.end(relay)
            await commit(site, 2, "b")
            await site.end(serve)
            async with asking(edge) as statuses:
                updates = await edge.updates()
                visits = len(site.told("discovery.connected"))
                await site.relay()
                # It keeps version 1.
                await site.until_told("discovery.connected", again=visits)
                await until_connected(edge)
                assert await edge.updates() == updates
                assert await edge.ask("/search") == (200, "b")
                await site.serve()
                await site.until_steered()
                await site.until_kept(2)
            assert await edge.updates() == updates
            assert set(statuses) == {200}


async def until_connected(edge: Edge) -> None:
    async def is_connected() -> bool:
        found = await edge.stats("control_plane.connected_state")
        return found["control_plane.connected_state"] == "1"

    await until(is_connected, "Envoy is connected")


async def test_a_damaged_plan_is_refused_by_name_and_the_one_before_it_is_served() -> None:
    async with outage("a", "b") as site:
        serve = await site.serve()
        relay = await site.relay()
        await commit(site, 1, "a")
        await site.until_kept(1)
        await commit(site, 2, "b")
        await site.until_kept(2)
        await site.end(serve)
        await site.end(relay)
        content = bytearray(site.kept.read_bytes())
        content[len(content) // 2] ^= 1
        site.kept.write_bytes(content)

        await site.relay()
        refused = await site.until_told("relay.file_refused")
        assert f"{site.kept} is refused: " in str(refused["problem"])
        edge = await site.envoy()
        async with edge.session:
            await until(edge.serves, "Envoy serves the plan before", polls=SOON_POLLS)
            assert await edge.ask("/search") == (200, "a")


async def test_where_no_plan_was_ever_made_it_is_said_and_the_first_one_arrives() -> None:
    async with outage("a") as site:
        await site.relay()
        said = await site.until_told("relay.nothing_kept")
        assert said["so"] == "an Envoy that starts before Foreshard answers has no configuration"
        edge = await site.envoy()
        async with edge.session:
            # It asks the relay, which has nothing.
            await site.until_told("discovery.connected")
            assert (await edge.ask("/search"))[0] == 0
            await site.serve()
            await commit(site, 1, "a")
            await until(edge.serves, "Envoy serves the first plan")
            await site.until_steered()
            await site.until_kept(1)


async def test_a_plan_with_another_key_is_never_kept() -> None:
    async with outage("a", key=b"a secret that both of them share") as site:
        await site.serve()
        (site.directory / "relay.key").write_bytes(b"a secret that only one has")
        await site.relay()
        await commit(site, 1, "a")
        refused = await site.until_told("relay.refused")
        assert "made with another key" in str(refused["because"])
        assert not site.kept.exists()
