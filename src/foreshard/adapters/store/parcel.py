"""This module is a sealed file of JSON, arrays and texts: how models and forecasts are kept.

It is a zip: `head.json` says what kind it is and holds the checksum of every other member; arrays
are `.npy` members, read without pickle. It is data and never code. A file is published whole (a
scratch file, synced, renamed), and one that is damaged, cut off, foreign or newer is refused with
the reason. The same contents make the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile, ZipInfo

import numpy as np
from numpy.typing import NDArray

from foreshard.model.errors import StoreError

__all__ = ["MOST_BYTES", "Parcel", "publish", "read_parcel", "sync_directory", "write_parcel"]

FORMAT = 1
HEAD = "head.json"
# Unpacked, all members together: no model of ours comes near, a few foreign bytes may claim more.
MOST_BYTES = 1024 * 1024 * 1024
MOST_MEMBERS = 10_000
# The oldest moment that a zip can tell: contents, not clocks, make the bytes.
MOMENT = (1980, 1, 1, 0, 0, 0)
# What a damaged, encrypted or foreign zip is answered with, or arrays and JSON that are none.
UNREADABLE = (OSError, BadZipFile, zlib.error, EOFError, RuntimeError, KeyError, ValueError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """What is in a file.

    Attributes:
        kind: What it is; a reader says which it wants.
        head: JSON values.
        arrays: By name; no objects.
        texts: By name.
        digest: SHA-256 of everything in it but the head, as it lies in the file; "" before that.
    """

    kind: str
    head: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, NDArray[np.generic]] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    digest: str = ""


def write_parcel(path: Path, parcel: Parcel) -> str:
    """Publish a file in the place of the one before, whole or not at all; returns its digest.

    Raises:
        StoreError: It cannot be written, or holds what has no such form.
    """
    members: dict[str, bytes] = {}
    names: dict[str, dict[str, str]] = {"arrays": {}, "texts": {}}
    try:
        for i, (name, array) in enumerate(sorted(parcel.arrays.items())):
            file = BytesIO()
            np.lib.format.write_array(file, np.ascontiguousarray(array), allow_pickle=False)
            names["arrays"][name] = f"arrays/{i}.npy"
            members[f"arrays/{i}.npy"] = file.getvalue()
        for i, (name, text) in enumerate(sorted(parcel.texts.items())):
            names["texts"][name] = f"texts/{i}.txt"
            members[f"texts/{i}.txt"] = text.encode()
        sums = {name: hashlib.sha256(content).hexdigest() for name, content in members.items()}
        digest = _digest(sums, names)
        head = {
            "foreshard": parcel.kind,
            "format": FORMAT,
            "digest": digest,
            "members": sums,
            **names,
            "head": dict(parcel.head),
        }
        text = json.dumps(head, indent=1, sort_keys=True, allow_nan=False)
        packed = BytesIO()
        with ZipFile(packed, "w", ZIP_DEFLATED, compresslevel=6) as archive:
            for name, content in ((HEAD, text.encode()), *members.items()):
                info = ZipInfo(name, date_time=MOMENT)
                info.compress_type = ZIP_DEFLATED
                archive.writestr(info, content)
    except (TypeError, ValueError) as error:
        raise StoreError(f"{parcel.kind} {path}: cannot be written as data: {error}") from error
    publish(path, packed.getvalue(), what=parcel.kind)
    return digest


def read_parcel(path: Path, kind: str) -> Parcel:
    """What is in a file of that kind.

    Raises:
        StoreError: There is none, or it is damaged, cut off, newer than this Foreshard, or of
            something else.
    """
    try:
        with ZipFile(path) as archive:
            sizes = {info.filename: info.file_size for info in archive.infolist()}
            if len(sizes) > MOST_MEMBERS or sum(sizes.values()) > MOST_BYTES:
                raise StoreError(f"{kind} {path}: is too large to be one of ours")
            head = json.loads(archive.read(HEAD))
            _check_head(path, kind, head)
            contents = {name: archive.read(name) for name in head["members"]}
    except FileNotFoundError as error:
        raise StoreError(f"{kind} {path}: there is no such file") from error
    except UNREADABLE as error:
        because = f"{type(error).__name__}: {error}"
        raise StoreError(
            f"{kind} {path}: is damaged, cut off, or no file of ours ({because})"
        ) from error
    for name, content in contents.items():
        if hashlib.sha256(content).hexdigest() != head["members"][name]:
            raise StoreError(f"{kind} {path}: is damaged, {name} does not match its checksum")
    try:
        names = {"arrays": dict(head["arrays"]), "texts": dict(head["texts"])}
        if _digest(head["members"], names) != head["digest"]:
            raise StoreError(f"{kind} {path}: is damaged, its list does not match its checksum")
        return Parcel(
            kind=kind,
            head=dict(head["head"]),
            arrays={
                name: np.lib.format.read_array(BytesIO(contents[file]), allow_pickle=False)
                for name, file in names["arrays"].items()
            },
            texts={name: contents[file].decode() for name, file in names["texts"].items()},
            digest=head["digest"],
        )
    except (TypeError, *UNREADABLE) as error:
        raise StoreError(f"{kind} {path}: holds what is no data of ours: {error}") from error


def publish(path: Path, content: bytes, *, what: str) -> None:
    """Put a file in its place by an atomic rename, once it has reached the disk.

    Raises:
        StoreError: It cannot be written; what was there before is still there.
    """
    scratch = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        scratch = Path(name)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
        sync_directory(path.parent)
    except OSError as error:
        raise StoreError(f"{what} {path}: cannot be written ({error.strerror})") from error
    finally:
        if scratch is not None:
            scratch.unlink(missing_ok=True)


def sync_directory(directory: Path) -> None:
    """Make a rename in a directory reach the disk."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _check_head(path: Path, kind: str, head: object) -> None:
    if not isinstance(head, dict) or "foreshard" not in head:
        raise StoreError(f"{kind} {path}: is no file of ours")
    if head["foreshard"] != kind:
        raise StoreError(f"{kind} {path}: is of another kind: {head['foreshard']!r}")
    if not isinstance(head.get("format"), int) or head["format"] > FORMAT:
        raise StoreError(
            f"{kind} {path}: was written by a newer Foreshard (format {head.get('format')!r}, "
            f"this one reads up to {FORMAT}); use that one, or train anew"
        )
    if not isinstance(head.get("members"), dict) or not isinstance(head.get("head"), dict):
        raise StoreError(f"{kind} {path}: is no file of ours")


def _digest(sums: Mapping[str, str], names: Mapping[str, Mapping[str, str]]) -> str:
    listed = json.dumps([sums, names], sort_keys=True)
    return hashlib.sha256(listed.encode()).hexdigest()
