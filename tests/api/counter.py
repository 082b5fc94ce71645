"""This module is the API over a desk on a real directory, behind a real socket."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import httpx
import uvicorn
import yaml
from fastapi import FastAPI

from foreshard.adapters.store.catalogue_file import CatalogueFile
from foreshard.api.application import application
from foreshard.api.desk import Desk
from foreshard.app import keys
from foreshard.app.desk import ClassDesk
from foreshard.app.places import catalogue_dir
from foreshard.app.web import SCHEMAS
from foreshard.config import Settings, load
from foreshard.model.catalogue import Role
from tests.test_config import text

__all__ = ["ORDERS", "Counter", "described", "opened"]

ORDERS = {
    "priority": "normal",
    "weight": 2,
    "objective_s": 0.3,
    "timeout_s": 2,
    "match": {"path_template": "/orders/{id}"},
    "needs": {"cpu": 0.01},
}


@dataclass(kw_only=True)
class Counter:
    """The API, and somebody of each role in front of it."""

    settings: Settings
    file: CatalogueFile
    app: FastAPI
    client: httpx.Client
    secrets: dict[Role, str]

    def ask(
        self,
        method: str,
        path: str,
        *,
        role: Role | None = Role.OPERATOR,
        tag: str | None = None,
        **more: Any,  # noqa: ANN401 - as httpx takes it
    ) -> httpx.Response:
        """One request by somebody of a role."""
        headers: dict[str, str] = dict(more.pop("headers", {}))
        if role is not None:
            headers["authorization"] = f"Bearer {self.secrets[role]}"
        if tag is not None:
            headers["if-match"] = tag
        return self.client.request(method, path, headers=headers, **more)

    def tag(self) -> str:
        """Of what holds now."""
        return self.ask("GET", "/v1/classes").headers["etag"]

    def version(self) -> int:
        """That holds now."""
        return int(self.ask("GET", "/v1/classes").json()["version"])


def described() -> dict[str, Any]:
    """Its OpenAPI, which is the same whoever stands behind it."""
    return application(cast("Desk", None), SCHEMAS).openapi()


@contextmanager
def opened(directory: Path, **settings: Any) -> Iterator[Counter]:  # noqa: ANN401 - as in YAML
    """The API on a new data directory."""
    values = {**yaml.safe_load(text()), "data_dir": "data", **settings}
    config = directory / "foreshard.yaml"
    config.write_text(yaml.safe_dump(values), encoding="utf-8")
    loaded = load(config)
    secrets = {role: keys.create(loaded, f"a {role}", role, by="test").secret for role in Role}
    with CatalogueFile(catalogue_dir(loaded)) as file:
        app = application(ClassDesk(loaded, file), SCHEMAS)
        with served(app) as address, httpx.Client(base_url=address, timeout=30.0) as client:
            yield Counter(settings=loaded, file=file, app=app, client=client, secrets=secrets)


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """The application on a port of the loopback, in a thread."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run, name="api")
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()
