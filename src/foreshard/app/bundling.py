"""This module is `foreshard bundle`: a zip with what is needed to replay, and to ask for help.

It never fails because a part is missing: the manifest says which, and why. It is made whole or
not at all, readable by its owner only, and holds no secret that is known or looks like one.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

from foreshard import __version__
from foreshard.app.disclosure import known_secrets, told
from foreshard.app.evidence import MissingError, decisions, parts, turns
from foreshard.app.known import Known
from foreshard.app.masking import LEFT_OUT, mask_text
from foreshard.config import Settings
from foreshard.config.plain_file import place_of
from foreshard.model.errors import ConfigError, StoreError

__all__ = ["MOST_BYTES", "Bundled", "bundle"]

MOST_BYTES = 50 * 1024 * 1024
LEAST_BYTES = 1024 * 1024
# Decisions come in files of about this size.
CHUNK_BYTES = 1024 * 1024
# For the manifest and the directory of the zip.
RESERVE_BYTES = 128 * 1024

README = """\
A bundle of Foreshard {version}, made {when}.

manifest.json       what is here, and what is missing and why
config.yaml         the configuration, written anew without comments
versions.json       of Foreshard, Python and every package
environment.json    names of variables (no values), room on the disk, files of the data directory
state/              the committed table and the one before, the freeze, the engine's last status
                    and what it remembers over a restart
decisions/          kept decisions with what they saw, newest first, one JSON object a line
replay/             the last turns of the engine, whole: `foreshard replay THIS_FILE.zip` makes
                    every decision again and says whether it comes out the same
logs/               the end of the logs
serve/, envoy/      what the discovery service and every Envoy said of themselves at that moment

What was known to be a secret, or looks like one, is replaced by "{left_out}". Names of cells,
addresses and rates are not: look through it before you give it away.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundled:
    """What was made.

    Attributes:
        path: The zip.
        files: Sizes before packing, by name.
        missing: Why, by name.
        left: Names of secrets whose values the configuration says in the open, so that they
            stand in the bundle; told to who makes it only, or it would tell everybody.
    """

    path: Path
    files: Mapping[str, int]
    missing: Mapping[str, str]
    left: tuple[str, ...] = ()


def bundle(
    config: Path, settings: Settings, *, out: Path, most_bytes: int = MOST_BYTES
) -> Bundled:
    """Make a bundle.

    Args:
        config: The configuration's file.
        settings: The same, parsed.
        out: Where it goes; replaced if it is there.
        most_bytes: Of the zip; the oldest decisions are left out. At least 1 MiB.

    Raises:
        ConfigError: `most_bytes` is too small.
        StoreError: The zip cannot be written.
    """
    if most_bytes < LEAST_BYTES:
        raise ConfigError(f"bundle: the bound is {most_bytes} bytes, must be at least 1 MiB")
    try:
        place = place_of(out)
        handle, scratch = tempfile.mkstemp(prefix=f".{place.name}.", dir=place.parent)
    except OSError as error:
        raise StoreError(f"bundle {out}: cannot be written ({error.strerror})") from error
    try:
        with os.fdopen(handle, "w+b") as file, ZipFile(file, "w", ZIP_DEFLATED) as archive:
            known = Known.of(known_secrets(config), told(config, settings))
            packing = _Packing(archive=archive, known=known, most=most_bytes)
            asyncio.run(packing.pack(config, settings))
        Path(scratch).replace(place)
    except OSError as error:
        raise StoreError(f"bundle {out}: cannot be written ({error.strerror})") from error
    finally:
        Path(scratch).unlink(missing_ok=True)
    files = {name: size for name, (size, _) in packing.files.items()}
    return Bundled(path=out, files=files, missing=packing.missing, left=known.left)


@dataclass(slots=True, kw_only=True)
class _Packing:
    archive: ZipFile
    known: Known
    most: int
    files: dict[str, tuple[int, str]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    async def pack(self, config: Path, settings: Settings) -> None:
        when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
        text = README.format(version=__version__, when=when, left_out=LEFT_OUT)
        self._put("README.txt", text.encode())
        for name, part in parts(config, settings).items():
            try:
                self._add(name, await part())
            except (MissingError, OSError) as error:
                self.missing[name] = self.known.text(str(error))
        self._add_turns(settings)
        self._add_decisions(settings)
        manifest = {
            "foreshard": __version__,
            "made_at": when,
            "files": {name: {"bytes": n, "sha256": h} for name, (n, h) in self.files.items()},
            "missing": self.missing,
        }
        self.archive.writestr("manifest.json", json.dumps(manifest, indent=1))

    def _add_turns(self, settings: Settings) -> None:
        """At most half of the room: the others are for people."""
        left = self.most // 2
        try:
            for name, content in turns(settings, lambda text: self.known.text(mask_text(text))):
                packed = gzip.compress(content, mtime=0)
                left -= len(packed)
                if left < 0 or not self._put(f"replay/{name}", packed):
                    self.missing[f"replay/{name}"] = "older turns are left out: no room"
                    return
        except (MissingError, OSError) as error:
            self.missing["replay"] = self.known.text(str(error))

    def _add_decisions(self, settings: Settings) -> None:
        chunk, number = bytearray(), 0
        try:
            for line in decisions(settings):
                chunk += line
                if len(chunk) >= CHUNK_BYTES:
                    if not self._add(f"decisions/{number:04}.jsonl", bytes(chunk)):
                        return
                    chunk, number = bytearray(), number + 1
        except (MissingError, OSError) as error:
            self.missing["decisions"] = self.known.text(str(error))
        if chunk:
            self._add(f"decisions/{number:04}.jsonl", bytes(chunk))

    def _add(self, name: str, content: bytes) -> bool:
        """Add a file, without secrets, if there is room for it in the worst case."""
        return self._put(name, self.known.file(name, content))

    def _put(self, name: str, content: bytes) -> bool:
        taken = self.archive.start_dir
        if taken + len(content) > self.most - RESERVE_BYTES:
            self.missing[name] = f"{len(content)} bytes more could exceed the bound of {self.most}"
            return False
        self.archive.writestr(name, content)
        self.files[name] = len(content), hashlib.sha256(content).hexdigest()
        return True
