"""Calls of all four kinds over real sockets, each to the cell of its key."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import grpc
import pytest

from foreshard.middleware.grpc_channel import RoutedChannel
from foreshard.model.errors import InvalidValueError
from foreshard.model.routing import ClassRoute, RoutingTable, SlotRow, WeightRow
from foreshard.model.topology import Cell, Node
from foreshard.model.workload import Match
from foreshard.router import Refused, Router
from tests.adapters.routing.envoy_tables import CHECKOUT, SEARCH
from tests.router.router_tables import slots

BUY = replace(CHECKOUT, match=Match(method="POST", path_prefix="/shop.Shop/Buy"))
ROW = slots(("eu-1", 7), ("eu-2", 7), ("", 2))


@asynccontextmanager
async def cell(name: str) -> AsyncIterator[Cell]:
    """A server that answers with its name and what it was told."""

    async def one(request: bytes, context: Any) -> bytes:  # noqa: ANN401 - of gRPC
        return f"{name}:{request.decode()}".encode()

    async def many(request: bytes, context: Any) -> AsyncIterator[bytes]:  # noqa: ANN401 - of gRPC
        for _ in range(2):
            yield await one(request, context)

    async def gather(requests: AsyncIterator[bytes], context: Any) -> bytes:  # noqa: ANN401 - of gRPC
        return await one(b"+".join([each async for each in requests]), context)

    async def each(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:  # noqa: ANN401 - of gRPC
        async for request in requests:
            yield await one(request, context)

    handlers = {
        "Buy": grpc.unary_unary_rpc_method_handler(one),
        "BuyMany": grpc.unary_stream_rpc_method_handler(many),
        "BuyAll": grpc.stream_unary_rpc_method_handler(gather),
        "BuyEach": grpc.stream_stream_rpc_method_handler(each),
        "Search": grpc.unary_unary_rpc_method_handler(one),
    }
    server = grpc.aio.server()
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("shop.Shop", handlers)])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield Cell(name=name, region="eu", zone="a", nodes=(Node(host="127.0.0.1", port=port),))
    finally:
        await server.stop(None)


def table(cells: tuple[Cell, ...], row: SlotRow = ROW) -> RoutingTable:
    weights = WeightRow(weights=dict.fromkeys((cell.name for cell in cells), 1))
    return RoutingTable(
        version=1,
        cells=cells,
        classes=(
            ClassRoute(request_class=BUY, rows={"eu": row}, backups={}),
            ClassRoute(request_class=SEARCH, rows={"eu": weights}, backups={}),
        ),
        default_class="search",
    )


async def several(*messages: bytes) -> AsyncIterator[bytes]:
    for message in messages:
        yield message


async def test_a_call_of_any_kind_goes_to_the_cell_of_its_key() -> None:
    async with cell("eu-1") as first, cell("eu-2") as second:
        router = Router(table((first, second)))
        async with RoutedChannel(router, origin="eu") as channel:
            buy = channel.unary_unary("/shop.Shop/Buy")
            buy_many = channel.unary_stream("/shop.Shop/BuyMany")
            buy_all = channel.stream_unary("/shop.Shop/BuyAll")
            buy_each = channel.stream_stream("/shop.Shop/BuyEach")
            seen = set()
            for key in map(str, range(24)):
                answer = router.route("checkout", "eu", key)
                if isinstance(answer, Refused):
                    continue
                assert isinstance(answer, Cell)
                metadata = grpc.aio.Metadata(("x-key", key))
                name = answer.name.encode()
                assert await buy(b"a", metadata=metadata) == name + b":a"
                found = [each async for each in buy_many(b"a", metadata=metadata)]
                assert found == [name + b":a"] * 2
                assert await buy_all(several(b"a", b"b"), None, metadata) == name + b":a+b"
                each = buy_each(several(b"a", b"b"), metadata=[("x-key", key)])
                assert [message async for message in each] == [name + b":a", name + b":b"]
                seen.add(name)
            assert seen == {b"eu-1", b"eu-2"}


async def test_what_is_shed_fails_at_once_and_says_when_to_return() -> None:
    async with cell("eu-1") as first, cell("eu-2") as second:
        router = Router(table((first, second)))
        keys = map(str, range(1_000))
        key = next(k for k in keys if isinstance(router.route("checkout", "eu", k), Refused))
        async with RoutedChannel(router, origin="eu") as channel:
            buy = channel.unary_unary("/shop.Shop/Buy")
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await buy(b"a", metadata=(("x-key", key),))
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert "'grpc-retry-pushback-ms', '5000'" in repr(caught.value.trailing_metadata())
            with pytest.raises(grpc.aio.AioRpcError, match="no table yet"):
                await RoutedChannel(Router(), origin="eu").unary_unary("/shop.Shop/Buy")(b"a")


async def test_serializers_timeouts_and_free_classes_are_as_with_any_channel() -> None:
    async with cell("eu-1") as first, cell("eu-2") as second:
        router = Router(table((first, second)))
        async with RoutedChannel(router, origin="eu") as channel:
            search = channel.unary_unary(
                "/shop.Shop/Search",
                request_serializer=str.encode,
                response_deserializer=bytes.decode,
            )
            found = [await search("q", timeout=5.0) for _ in range(10)]
            assert sorted(found) == ["eu-1:q"] * 5 + ["eu-2:q"] * 5


async def test_a_new_plan_moves_the_next_call_and_leaves_the_open_one() -> None:
    async with cell("eu-1") as first, cell("eu-2") as second:
        all_first = table((first, second), slots(("eu-1", 2)))
        router = Router(all_first)
        async with RoutedChannel(router, origin="eu") as channel:
            buy_each = channel.stream_stream("/shop.Shop/BuyEach")
            open_call = buy_each(metadata=(("x-key", "k"),))
            await open_call.write(b"1")
            assert await open_call.read() == b"eu-1:1"
            router.swap(table((second,), slots(("eu-2", 2))))
            buy = channel.unary_unary("/shop.Shop/Buy")
            assert await buy(b"2", metadata=(("x-key", "k"),)) == b"eu-2:2"
            await open_call.write(b"3")
            assert await open_call.read() == b"eu-1:3"
            await open_call.done_writing()
            assert await open_call.code() is grpc.StatusCode.OK


async def test_binary_keys_are_what_a_proxy_would_see() -> None:
    binary = replace(BUY, key_header="x-key-bin")
    async with cell("eu-1") as first, cell("eu-2") as second:
        plan = table((first, second), slots(*((f"eu-{1 + i % 2}", 1) for i in range(64))))
        route = replace(plan.classes[0], request_class=binary)
        router = Router(replace(plan, classes=(route, plan.classes[1])))
        async with RoutedChannel(router, origin="eu") as channel:
            buy = channel.unary_unary("/shop.Shop/Buy")
            for raw, seen in ((b"\x00\xff", b"AP8"), (b"abc", b"YWJj")):
                answer = router.route("checkout", "eu", seen)
                assert isinstance(answer, Cell)
                got = await buy(b"", metadata=(("x-key-bin", raw),))
                assert got == answer.name.encode() + b":"


async def test_it_is_ready_once_there_is_a_plan() -> None:
    async with cell("eu-1") as first:
        router = Router()
        async with RoutedChannel(router, origin="eu") as channel:
            assert channel.get_state() is grpc.ChannelConnectivity.IDLE
            router.swap(table((first,), slots(("eu-1", 1))))
            await channel.channel_ready()
            assert channel.get_state() is grpc.ChannelConnectivity.READY
    with pytest.raises(InvalidValueError, match="origin is empty"):
        RoutedChannel(router, origin="")
