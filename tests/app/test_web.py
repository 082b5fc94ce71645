"""The process that answers: what it needs, and how it says what is missing."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest
import uvicorn
import yaml

from foreshard.app.hurrying import PromptProtocol
from foreshard.app.web import run_web_process
from foreshard.config import Settings, load
from foreshard.model.errors import ConfigError, ProcessError
from tests.test_config import text


def settings(directory: Path, **api: object) -> Settings:
    values = {**yaml.safe_load(text()), "data_dir": "data", "api": api}
    config = directory / "foreshard.yaml"
    config.write_text(yaml.safe_dump(values), encoding="utf-8")
    return load(config)


def test_without_an_address_there_is_nothing_to_answer_on(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"api\.listen is null"):
        run_web_process(settings(tmp_path))


def test_an_address_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ProcessError, match=f"api.listen is {address}: cannot be had"):
            run_web_process(settings(tmp_path, listen=address))


def test_a_certificate_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_text("no certificate", encoding="ascii")
    configured = settings(tmp_path, listen="127.0.0.1:18871", certificate_file="cert.pem")
    with pytest.raises(ConfigError, match=r"api\.certificate_file is .*: cannot be used"):
        run_web_process(configured)


@pytest.mark.parametrize(
    ("api", "says"),
    [
        ({"listen": "0.0.0.0:18871"}, "which others can hear; give certificate_file"),
        ({"listen": "127.0.0.1.example.com:18871"}, "which others can hear"),
        ({"listen": "127.0.0.1:18000"}, "which envoy.discovery has"),
        ({"listen": "127.0.0.1:1", "private_key_file": "x"}, "there is no certificate_file"),
    ],
)
def test_an_open_door_is_refused_with_the_configuration(
    tmp_path: Path, api: dict[str, object], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        settings(tmp_path, **api)


async def nothing(_scope: object, _receive: object, send: Any) -> None:  # noqa: ANN401 - of ASGI
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: a\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\n",
    ],
    ids=["silent", "half a request", "one and a half"],
)
async def test_a_connection_on_which_no_request_comes_gives_its_place_back(
    monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    monkeypatch.setattr(PromptProtocol, "head_s", 0.05)
    server = uvicorn.Server(
        uvicorn.Config(nothing, http=PromptProtocol, log_config=None, lifespan="off")
    )
    with socket.create_server(("127.0.0.1", 0)) as door:
        serving = asyncio.create_task(server.serve(sockets=[door]))
        reader, writer = await asyncio.open_connection(*door.getsockname())
        writer.write(said)
        heard = await asyncio.wait_for(reader.read(), timeout=30.0)
        writer.close()
        server.should_exit = True
        await serving
    assert heard.count(b"HTTP/1.1 204") == said.count(b"\r\n\r\n")
