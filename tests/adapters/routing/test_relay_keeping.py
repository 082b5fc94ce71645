"""What a relay does when its disk or its control plane misbehaves; plain gRPC, no Envoy."""

from __future__ import annotations

import asyncio
import errno
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import grpc
import pytest
from envoy.service.discovery.v3.ads_pb2_grpc import AggregatedDiscoveryServiceStub
from envoy.service.discovery.v3.discovery_pb2 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
)

from foreshard.adapters.routing import last_good, relay
from foreshard.adapters.routing.durable import replace_file
from foreshard.adapters.routing.envoy.edition import Edition, edition, pack
from foreshard.adapters.routing.envoy.editions import METHOD, SERVICE
from foreshard.adapters.routing.envoy.resources import CLUSTER_TYPE
from foreshard.adapters.routing.envoy.snapshot import snapshot
from foreshard.adapters.routing.last_good import LastGood
from foreshard.adapters.routing.relay import RelaySettings, run_relay
from foreshard.adapters.routing.seal import Seal
from tests.adapters.routing.serve_bench import free_port
from tests.adapters.routing.xds_peer import small_world

KEY, OTHER = Seal(b"a key that is long enough"), Seal(b"another key, as long as that")


async def made(version: int, *, origin: str = "eu") -> Edition:
    found = await snapshot(small_world({"search": ["a"]}, revision=version))
    return edition(origin, version, time.time(), found)


@asynccontextmanager
async def control_plane(port: int, seal: Seal, one: Edition) -> AsyncIterator[None]:
    """Says one edition again and again, as `serve` does."""

    async def watch(request: bytes, context: object) -> AsyncIterator[bytes]:
        while True:
            yield pack(one, seal)
            await asyncio.sleep(0.1)

    server = grpc.aio.server()
    handler = grpc.unary_stream_rpc_method_handler(watch)
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler})]
    )
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    try:
        yield
    finally:
        await server.stop(0)


@asynccontextmanager
async def relaying(directory: Path, upstream: int, seal: Seal) -> AsyncIterator[int]:
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    settings = RelaySettings(
        directory=directory, origins=("eu",), upstream=("127.0.0.1", upstream), seal=seal
    )
    task = asyncio.create_task(run_relay(settings, started=port.set_result))
    try:
        yield await asyncio.wait_for(port, 10)
        assert not task.done(), "the relay died"
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(directory: Path, seal: Seal, version: int) -> None:
    async with asyncio.timeout(10):
        while True:
            kept = LastGood(directory, "eu", seal).load().edition
            if kept is not None and kept.version == version:
                return
            await asyncio.sleep(0.05)


async def test_a_plan_that_could_not_be_kept_is_kept_later_and_never_confirmed_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "CONFIRM_S", 0.2)
    LastGood(tmp_path, "eu", KEY).save(await made(41))
    long_ago = (1_700_000_000, 1_700_000_000)
    os.utime(tmp_path / "eu.edition", long_ago)

    def full(path: Path, content: bytes, *, previous: Path | None = None) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(last_good, "replace_file", full)
    upstream = free_port()
    async with (
        control_plane(upstream, KEY, await made(42)),
        relaying(tmp_path, upstream, KEY),
    ):
        await asyncio.sleep(0.8)
        kept = LastGood(tmp_path, "eu", KEY).load()
        assert kept.edition is not None
        assert (kept.edition.version, kept.confirmed_at_s) == (41, long_ago[0])
        monkeypatch.setattr(last_good, "replace_file", replace_file)
        await until(tmp_path, KEY, 42)


async def test_a_proxy_goes_back_also_when_what_it_is_given_there_is_refused_here(
    tmp_path: Path,
) -> None:
    LastGood(tmp_path, "eu", KEY).save(await made(41))
    upstream = free_port()
    async with relaying(tmp_path, upstream, KEY) as port:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            call = AggregatedDiscoveryServiceStub(channel).DeltaAggregatedResources()
            request = DeltaDiscoveryRequest(type_url=CLUSTER_TYPE)
            request.node.id, request.node.locality.region = "edge-1", "eu"
            await call.write(request)
            assert (await call.read()).resources
            async with control_plane(upstream, OTHER, await made(50)), asyncio.timeout(10):
                assert not isinstance(await call.read(), DeltaDiscoveryResponse)
        assert _kept(tmp_path).version == 41


def _kept(directory: Path) -> Edition:
    kept = LastGood(directory, "eu", KEY).load().edition
    assert kept is not None
    return kept


async def test_an_edition_of_another_region_is_refused_and_the_relay_lives(
    tmp_path: Path,
) -> None:
    LastGood(tmp_path, "eu", KEY).save(await made(41))
    upstream = free_port()
    async with (
        control_plane(upstream, KEY, await made(42, origin="us")),
        relaying(tmp_path, upstream, KEY),
    ):
        await asyncio.sleep(0.5)
    assert _kept(tmp_path).version == 41
