"""This module is the `web` process: the API, put together from a configuration.

It shares nothing with the others but files: neither its death nor its load reaches them, and it
answers when they are dead.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import structlog
import uvicorn

from foreshard.adapters.store.catalogue_file import CatalogueFile
from foreshard.api.application import application
from foreshard.app.desk import ClassDesk
from foreshard.app.heartbeat import notify, web_file
from foreshard.app.hurrying import PromptProtocol
from foreshard.app.places import alone, catalogue_dir, private
from foreshard.app.signals import stop_on_signals
from foreshard.config import Settings
from foreshard.config.catalogue import Catalogue, TagSettings
from foreshard.config.schema import schema_of
from foreshard.config.workload import ClassSettings
from foreshard.model.errors import ConfigError, ProcessError

__all__ = ["SCHEMAS", "run_web_process"]

log = structlog.get_logger(__name__)

BEAT_S = 2.0
# Whoever stops it waits no longer for requests under way.
GRACE_S = 3
# More at a time are told to come again.
MOST_REQUESTS = 64

SCHEMAS = {
    "class": schema_of(ClassSettings, title="Request class"),
    "tag": schema_of(TagSettings, title="Tag"),
    "catalogue": schema_of(Catalogue, title="Catalogue"),
}
"""Of what may be sent."""


class _Server(uvicorn.Server):
    """One that leaves signals to us."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def run_web_process(settings: Settings) -> None:
    """Answer until a signal ends it.

    Raises:
        ConfigError: No address is configured, or the certificate cannot be used.
        StoreError: What was kept cannot be read.
        ProcessError: The address cannot be had.
    """
    if settings.api.listen is None:
        raise ConfigError("api.listen is null; give an address such as 127.0.0.1:18080")

    async def work(stop: asyncio.Event) -> None:
        async with alone(settings.data_dir, "web"):
            with CatalogueFile(catalogue_dir(settings)) as file:
                await _serve(settings, file, stop)

    with private():
        stop_on_signals(work)


async def _serve(settings: Settings, file: CatalogueFile, stop: asyncio.Event) -> None:
    server = _Server(_config(settings, file))
    with _door(settings.api.listen or "") as door:
        await _until_stopped(server, door, settings, stop)


async def _until_stopped(
    server: uvicorn.Server, door: socket.socket, settings: Settings, stop: asyncio.Event
) -> None:
    serving = asyncio.create_task(server.serve(sockets=[door]))
    stopped = asyncio.create_task(stop.wait())
    beating = asyncio.create_task(_beat(settings, server))
    await asyncio.wait({serving, stopped}, return_when=asyncio.FIRST_COMPLETED)
    server.should_exit = True
    beating.cancel()
    stopped.cancel()
    await serving


def _door(address: str) -> socket.socket:
    """Where it listens: bound here, for uvicorn ends the whole process over a port it cannot have.

    Raises:
        ProcessError: The address cannot be had.
    """
    host, _, port = address.rpartition(":")
    try:
        return socket.create_server((host, int(port)))
    except OSError as error:
        because = os.strerror(error.errno or 0)
        raise ProcessError(
            f"api.listen is {address}: cannot be had ({because}); free it, or use another"
        ) from error


def _config(settings: Settings, file: CatalogueFile) -> uvicorn.Config:
    api = settings.api
    app = application(ClassDesk(settings, file), SCHEMAS)
    try:
        made = uvicorn.Config(
            app,
            http=PromptProtocol,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            limit_concurrency=MOST_REQUESTS,
            timeout_graceful_shutdown=GRACE_S,
            ssl_certfile=api.certificate_file,
            ssl_keyfile=api.private_key_file,
        )
        made.load()
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"api.certificate_file is {api.certificate_file}: cannot be used ({error}); give a "
            "certificate and its key in PEM"
        ) from error
    return made


async def _beat(settings: Settings, server: uvicorn.Server) -> None:
    """Say that we live, as long as we do."""
    is_told = False
    while True:
        if server.started:
            notify("READY=1\nWATCHDOG=1")
            with suppress(OSError):
                web_file(settings).touch()
            if not is_told:
                log.info("api.answers", address=settings.api.listen)
                is_told = True
        await asyncio.sleep(BEAT_S if is_told else 0.05)
