from __future__ import annotations

from typing import Any

import pytest

from foreshard.middleware.asgi import RouterMiddleware
from foreshard.middleware.decision import Routed
from foreshard.model.errors import InvalidValueError
from foreshard.model.routing import ClassRoute, RoutingTable, WeightRow
from foreshard.model.topology import Cell
from foreshard.router import Refused, Router
from tests.adapters.routing.envoy_tables import CHECKOUT, REPORT
from tests.router.router_tables import CELLS, slots

ROW = slots(("eu-1", 3), ("eu-2", 3), ("us-1", 1), ("", 1))
TABLE = RoutingTable(
    version=1,
    cells=CELLS,
    classes=(
        ClassRoute(request_class=CHECKOUT, rows={"eu": ROW}, backups={"eu-1": ("eu-2",)}),
        ClassRoute(request_class=REPORT, rows={"eu": WeightRow(weights={"us-1": 1})}, backups={}),
    ),
    default_class="report",
)


class Application:
    """Remembers what reached it."""

    def __init__(self) -> None:
        self.scopes: list[Any] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - of ASGI
        self.scopes.append(scope)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})


async def ask(
    app: RouterMiddleware,
    path: str = "/checkout",
    *keys: bytes,
    name: bytes = b"x-key",
    **changes: object,
) -> list[Any]:
    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "headers": [(b"host", b"a"), *((name, key) for key in keys)],
    }
    said: list[Any] = []

    async def send(message: Any) -> None:  # noqa: ANN401 - of ASGI
        said.append(message)

    async def receive() -> Any:  # noqa: ANN401 - of ASGI
        return {"type": "websocket.connect"}

    await app({**scope, **changes}, receive, send)
    return said


async def test_a_request_reaches_the_application_with_its_cell_or_is_refused() -> None:
    inner, router = Application(), Router(TABLE)
    app = RouterMiddleware(inner, router, origin="eu")
    refused = 0
    for i in range(60):
        said = await ask(app, "/checkout", b"%d" % i)
        answer = router.route("checkout", "eu", str(i))
        if isinstance(answer, Refused):
            refused += 1
            assert said[0]["status"] == 429
            assert (b"retry-after", b"5") in said[0]["headers"]
        else:
            assert isinstance(answer, Cell)
            assert said[0]["status"] == 200
            backups = router.backups("checkout", answer.name)
            due = Routed(request_class=CHECKOUT, cell=answer, backups=backups)
            assert inner.scopes[-1]["foreshard"] == due
    assert refused > 1
    assert len(inner.scopes) == 60 - refused


async def test_the_class_is_decided_by_method_and_path_and_by_no_header() -> None:
    inner = Application()
    app = RouterMiddleware(inner, Router(TABLE), origin="eu")
    for path in ("/checkout/7", "//x/../checkout", "/%63heckout"):
        await ask(app, path, b"1")
        assert inner.scopes[-1]["foreshard"].request_class == CHECKOUT
    await ask(app, "/checkout", b"checkout", name=b"x-foreshard-class", method="GET")
    assert inner.scopes[-1]["foreshard"].request_class == REPORT
    await ask(app, "/checkout", raw_path=None)
    assert inner.scopes[-1]["foreshard"].request_class == CHECKOUT


async def test_keys_are_taken_as_bytes_whatever_the_case_of_the_header_and_however_many() -> None:
    inner, router = Application(), Router(TABLE)
    app = RouterMiddleware(inner, router, origin="eu")
    for keys in ((b"\xff\xfe",), (b"",), (b"a", b"b"), (b"b", b"a")):
        key = keys[0] if len(keys) == 1 else keys
        answer = router.route("checkout", "eu", key)
        said = await ask(app, "/checkout", *keys, name=b"X-Key")
        if isinstance(answer, Refused):
            assert said[0]["status"] == 429
        else:
            assert inner.scopes[-1]["foreshard"].cell == answer


async def test_without_a_plan_a_request_is_answered_with_503() -> None:
    inner = Application()
    said = await ask(RouterMiddleware(inner, Router(), origin="eu"))
    assert said[0]["status"] == 503
    assert not inner.scopes


async def test_a_websocket_is_closed_when_it_is_shed_and_lifespan_passes() -> None:
    inner = Application()
    app = RouterMiddleware(inner, Router(), origin="eu")
    said = await ask(app, type="websocket")
    assert said == [{"type": "websocket.close", "code": 1013, "reason": "try again later"}]
    await ask(app, type="lifespan")
    assert inner.scopes[-1]["type"] == "lifespan"
    assert "foreshard" not in inner.scopes[-1]


def test_a_middleware_without_an_origin_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="origin is empty"):
        RouterMiddleware(Application(), Router(), origin="")
