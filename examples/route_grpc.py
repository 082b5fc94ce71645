"""A gRPC client whose every call goes to the cell of its key, without a proxy.

    python examples/route_grpc.py --calls 12

It starts two small cells beside itself, takes the plan from memory and says, one JSON line a call,
who answered. With `--follow HOST:PORT` it follows the discovery service of a running Foreshard.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from contextlib import AsyncExitStack

import grpc

from foreshard import Router, following
from foreshard.middleware.grpc_channel import RoutedChannel
from foreshard.model.routing import ClassRoute, RoutingTable, SlotRow, SlotRun
from foreshard.model.topology import Cell, Node
from foreshard.model.workload import Match, Priority, RequestClass


async def serve_cell(name: str, stack: AsyncExitStack) -> Cell:
    """A cell that says its name."""

    async def buy(request: bytes, _: grpc.aio.ServicerContext) -> bytes:
        return f"{name} sold {request.decode()}".encode()

    handlers = {"Buy": grpc.unary_unary_rpc_method_handler(buy)}
    server = grpc.aio.server()
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("shop.Shop", handlers)])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    stack.push_async_callback(server.stop, None)
    return Cell(name=name, region="eu", zone="eu-a", nodes=(Node(host="127.0.0.1", port=port),))


def plan(cells: tuple[Cell, ...]) -> RoutingTable:
    """What Foreshard would say: a quarter of all customers are to come later."""
    buy = RequestClass(
        name="buy",
        priority=Priority.CRITICAL,
        weight=10.0,
        objective_s=0.5,
        timeout_s=2.0,
        match=Match(method="POST", path_prefix="/shop.Shop/Buy"),
        key_header="x-customer",
    )
    first, second = (cell.name for cell in cells)
    row = SlotRow(
        runs=(
            SlotRun(owner=first, length=2048),
            SlotRun(owner=second, length=1024),
            SlotRun(owner="", length=1024),
        )
    )
    route = ClassRoute(request_class=buy, rows={"eu": row}, backups={})
    return RoutingTable(version=1, cells=cells, classes=(route,), default_class="buy")


async def run(options: argparse.Namespace) -> None:
    """Call so often, and say what came back."""
    router = Router(first_turn=os.getpid())
    async with AsyncExitStack() as stack:
        if options.follow:
            await stack.enter_async_context(following(router, options.follow))
        else:
            router.swap(plan((await serve_cell("eu-1", stack), await serve_cell("eu-2", stack))))
        channel = await stack.enter_async_context(RoutedChannel(router, origin=options.origin))
        # Generated stubs take the channel too: ShopStub(channel).Buy(...).
        buy = channel.unary_unary("/shop.Shop/Buy", str.encode, bytes.decode)
        for number in range(options.calls):
            key = f"customer-{number}"
            try:
                answer = await buy("a book", metadata=(("x-customer", key),), timeout=5.0)
            except grpc.aio.AioRpcError as error:
                answer = error.code().name
            sys.stdout.write(json.dumps({"key": key, "answer": answer}) + "\n")


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description="Calls that follow the plan.")
    parser.add_argument("--calls", type=int, default=12)
    parser.add_argument("--origin", default="eu", help="region in which the caller stands")
    parser.add_argument("--follow", metavar="HOST:PORT", help="discovery service of a Foreshard")
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
