"""This module is what is made of the API's settings: its port, its certificate, its tokens."""

from __future__ import annotations

import ssl
from collections.abc import Iterator

from foreshard.adapters.store.catalogue_file import CatalogueFile
from foreshard.app.checking.facts import PlaceFacts
from foreshard.app.checking.finding import Finding, Mark, Section, green
from foreshard.app.places import catalogue_dir
from foreshard.config import Settings

__all__ = ["judge_door"]


def judge_door(place: PlaceFacts, settings: Settings, *, file: str) -> Iterator[Finding]:
    """The port, the certificate and the tokens of the API; nothing where there is none."""
    address = settings.api.listen
    if address is None:
        return
    yield _port(place, address)
    yield from _certificate(settings)
    # Whether it holds a good one is not looked at: to open the file may change it.
    if not CatalogueFile.is_in(catalogue_dir(settings)):
        yield Finding(
            section=Section.SURROUNDINGS,
            mark=Mark.AMBER,
            says=f"API at {address}: nobody has a token",
            means="nobody may ask it anything",
            todo=f"`foreshard token create {file} NAME --role operator`",
            weight=20,
        )


def _port(place: PlaceFacts, address: str) -> Finding:
    if "web" in place.holders and place.api_taken:
        return green(Section.SURROUNDINGS, f"API at {address}: `foreshard web`")
    if "web" in place.holders:
        return Finding(
            section=Section.SURROUNDINGS,
            mark=Mark.AMBER,
            says=f"API at {address}: nobody listens, though `foreshard web` runs",
            means="classes cannot be read or changed over HTTP",
            todo="was api.listen changed since it was started? Start it anew",
            weight=34,
        )
    if place.api_taken:
        return Finding(
            section=Section.SURROUNDINGS,
            mark=Mark.RED,
            says=f"API at {address}: taken by another program",
            means="the API does not start; the rest of Foreshard does",
            todo="choose another port for api.listen",
            weight=60,
        )
    return green(Section.SURROUNDINGS, f"API at {address}: free")


def _certificate(settings: Settings) -> Iterator[Finding]:
    file = settings.api.certificate_file
    if file is None:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
            file, settings.api.private_key_file, password=""
        )
    except OSError as error:
        yield Finding(
            section=Section.CONFIGURATION,
            mark=Mark.RED,
            says=f"api.certificate_file is {file}: cannot be used ({error})",
            means="the API does not start; the rest of Foreshard does",
            todo="give a certificate and its key in PEM, readable by whom Foreshard runs as",
            weight=61,
        )
    else:
        yield green(Section.CONFIGURATION, f"api.certificate_file {file}: fits its key")
