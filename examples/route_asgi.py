"""A gateway that sends requests to cells as Foreshard plans it, without a proxy: ASGI.

    python examples/route_asgi.py --port 8080
    curl -i -X POST -H 'x-customer: 42' http://127.0.0.1:8080/checkout

It starts two small cells beside itself and takes the plan from memory. With `--follow HOST:PORT`
it follows the discovery service of a running Foreshard instead, and with `--keep DIR` it starts
from the last plan it has seen when that one is away.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
from aiohttp import web

from foreshard import Router, following
from foreshard.middleware.asgi import RouterMiddleware
from foreshard.model.routing import ClassRoute, RoutingTable, SlotRow, SlotRun, WeightRow
from foreshard.model.topology import Cell, Node
from foreshard.model.workload import Match, Priority, RequestClass

HOST = "127.0.0.1"


class Gateway:
    """An ASGI application: what reaches it has a cell, and is sent there."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session

    async def __call__(self, scope, receive, send) -> None:
        routed = scope["foreshard"]
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        status, answer = 502, b"no cell answers"
        for cell in (routed.cell, *routed.backups):
            node = cell.nodes[0]
            url = f"http://{node.host}:{node.port}{scope['path']}"
            try:
                async with self.session.request(scope["method"], url, data=body) as found:
                    status, answer = found.status, await found.read()
                    break
            except aiohttp.ClientConnectorError:
                continue  # it was not sent, so the next cell may have it, whatever it does
        headers = [(b"content-length", str(len(answer)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": answer})


def plan(cells: tuple[Cell, ...]) -> RoutingTable:
    """What Foreshard would say: an eighth of all customers are to come later."""
    checkout = RequestClass(
        name="checkout",
        priority=Priority.CRITICAL,
        weight=10.0,
        objective_s=0.5,
        timeout_s=2.0,
        match=Match(method="POST", path_prefix="/checkout"),
        key_header="x-customer",
    )
    search = RequestClass(
        name="search", priority=Priority.NORMAL, weight=1.0, objective_s=0.5, timeout_s=2.0
    )
    first, second = (cell.name for cell in cells)
    slots = SlotRow(
        runs=(
            SlotRun(owner=first, length=2048),
            SlotRun(owner=second, length=1536),
            SlotRun(owner="", length=512),
        )
    )
    weights = WeightRow(weights={first: 3, second: 1})
    backups = {first: (second,), second: (first,)}
    return RoutingTable(
        version=1,
        cells=cells,
        classes=(
            ClassRoute(request_class=checkout, rows={"eu": slots}, backups=backups),
            ClassRoute(request_class=search, rows={"eu": weights}, backups=backups),
        ),
        default_class="search",
    )


async def serve_cell(name: str, stack: AsyncExitStack) -> Cell:
    """A cell that says its name."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=f"{name} {request.method} {request.path}\n")

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", answer)
    port = await listen(app, 0, stack)
    return Cell(name=name, region="eu", zone="eu-a", nodes=(Node(host=HOST, port=port),))


async def serve_asgi(application, port: int, stack: AsyncExitStack) -> int:
    """An ASGI server in short; in earnest take uvicorn, hypercorn or granian."""

    async def answer(request: web.Request) -> web.Response:
        scope = {
            "type": "http",
            "method": request.method,
            "path": request.path,
            "raw_path": request.raw_path.partition("?")[0].encode(),
            "headers": [(name.lower(), value) for name, value in request.raw_headers],
        }
        said: list[dict] = []

        async def receive() -> dict:
            return {"type": "http.request", "body": await request.read()}

        async def send(message: dict) -> None:
            said.append(message)

        await application(scope, receive, send)
        headers = {name.decode(): value.decode() for name, value in said[0]["headers"]}
        return web.Response(status=said[0]["status"], headers=headers, body=said[1]["body"])

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", answer)
    return await listen(app, port, stack)


async def listen(app: web.Application, port: int, stack: AsyncExitStack) -> int:
    """Serve on a port; gives it."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, HOST, port).start()
    return runner.addresses[0][1]


async def run(options: argparse.Namespace) -> None:
    """Serve until interrupted."""
    # Processes that start together are told apart, or all send their first search to one cell.
    router = Router(first_turn=os.getpid())
    async with AsyncExitStack() as stack:
        if options.follow:
            await stack.enter_async_context(following(router, options.follow, keep=options.keep))
        else:
            router.swap(plan((await serve_cell("eu-1", stack), await serve_cell("eu-2", stack))))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        app = RouterMiddleware(Gateway(session), router, origin=options.origin)
        port = await serve_asgi(app, options.port, stack)
        sys.stdout.write(json.dumps({"listens": port}) + "\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description="A gateway that follows the plan.")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--origin", default="eu", help="region in which it stands")
    parser.add_argument("--follow", metavar="HOST:PORT", help="discovery service of a Foreshard")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keeps the last plan")
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
