"""`foreshard eject`: an Envoy without Foreshard does with requests what it did before."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import pytest

from foreshard.model.routing import ClassRoute, RoutingTable, SlotRow, SlotRun, WeightRow
from foreshard.ports import Applied
from tests.adapters.routing.serve_bench import shop_table
from tests.e2e.outage import Edge, Outage, outage, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

KEYS = 2_500
FREE = 2_500
# As many under way at a time as the weights of free classes expect.
CLIENTS = 10
SHARES = {"a": 0.48, "b": 0.24, "c": 0.08, "shed": 0.2}


def plan(site: Outage) -> RoutingTable:
    """Uneven slots, a stretch of them shed; uneven weights, a fifth shed."""
    whole = shop_table(7, site.cells)
    runs = [("a", 1500), ("c", 300), ("", 512), ("b", 1000), ("a", 784)]
    slots = SlotRow(runs=tuple(SlotRun(owner=owner, length=length) for owner, length in runs))
    weights = WeightRow(weights={"a": 60, "b": 30, "c": 10}, shed=25)
    rows: Mapping[str, SlotRow | WeightRow] = {"checkout": slots, "search": weights}

    def steered(route: ClassRoute) -> ClassRoute:
        return replace(route, rows={"eu": rows[route.request_class.name]})

    return replace(whole, classes=tuple(steered(route) for route in whole.classes))


async def keyed(edge: Edge) -> Mapping[int, tuple[int, str]]:
    """Who answers each key."""
    found = {}

    async def ask(first: int) -> None:
        for number in range(first, KEYS, CLIENTS):
            key = {"x-key": f"customer-{number}"}
            status, body = await edge.ask("/checkout", method="POST", headers=key)
            found[number] = (status, body if status == 200 else "")

    await asyncio.gather(*(ask(first) for first in range(CLIENTS)))
    return found


async def free(edge: Edge) -> Mapping[str, float]:
    """What became of requests without a key, as shares."""
    found: Counter[str] = Counter()

    async def ask() -> None:
        for _ in range(FREE // CLIENTS):
            status, body = await edge.ask("/search")
            found[body if status == 200 else "shed" if status == 429 else str(status)] += 1

    await asyncio.gather(*(ask() for _ in range(CLIENTS)))
    return {name: count / FREE for name, count in found.items()}


async def test_an_ejected_envoy_does_what_the_steered_one_did_with_foreshard_gone() -> None:
    async with outage("a", "b", "c", delay_s=0.005) as site:
        serve = await site.serve()
        assert isinstance(await site.sink.apply(plan(site)), Applied)
        edge = await site.envoy()
        async with edge.session:
            await until(edge.serves, "the steered Envoy serves")
            await site.until_steered()
            homes, shares = await keyed(edge), await free(edge)
        live = await ejected(site)
        assert "from the live plan 7" in live
        await site.end(edge.child)
        await site.end(serve)
        left = await ejected(site)
        assert "from the last plan 7, committed 20" in left
        assert without_header(live) == without_header(left)

        edge = await site.envoy(left)
        async with edge.session:
            await until(edge.serves, "the ejected Envoy serves")
            assert await keyed(edge) == homes, "the same cell for every key, the same keys shed"
            assert {status for status, _ in homes.values()} == {200, 429}
            assert Counter(body for _, body in homes.values()).keys() == {"a", "b", "c", ""}
            after = await free(edge)
            assert after.keys() == shares.keys() == SHARES.keys()
            for name, share in SHARES.items():
                # Four standard deviations of a fair draw, twice where least request leans.
                leaning = 1.0 if name == "shed" else 2.0
                allowed = 4.0 * leaning * (share * (1.0 - share) / FREE) ** 0.5
                assert after[name] == pytest.approx(share, abs=allowed), (name, after, shares)
                assert after[name] == pytest.approx(shares[name], abs=1.5 * allowed)


async def ejected(site: Outage) -> str:
    """What the command prints."""
    argv = [sys.executable, "-m", "foreshard", "eject", "--config", str(site.config)]
    argv += ["--admin-port", str(site.admin_port)]
    process = await asyncio.create_subprocess_exec(
        *argv, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


def without_header(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if not line.startswith("#"))
