"""An upgrade, and the way back, under live traffic: `serve` and `engine` one after the other.

The newer version is the same code with another number and a store of a newer schema, which is
what an older one cannot read.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import foreshard
from foreshard.adapters.store.schema import FILE_NAME, SCHEMA_VERSION, newer_state
from foreshard.app import asking
from foreshard.app.bundling import bundle
from foreshard.app.places import state_dir
from foreshard.app.replaying import replay
from foreshard.lab import service
from foreshard.lab.records import judge
from tests.e2e.stage import until
from tests.e2e.twins import Side, twins

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(150)]

OLD, NEW = foreshard.__version__, "99.0.0"
ROLLED = "rolled"


def newer(directory: Path) -> Path:
    """A folder with the newer version in it."""
    tree = directory / "newer"
    whole = tree / "foreshard"
    shutil.copytree(Path(foreshard.__file__).parent, whole)
    edit(whole / "__init__.py", f'"{OLD}"', f'"{NEW}"')
    schema = whole / "adapters" / "store" / "schema.py"
    edit(
        schema, f"SCHEMA_VERSION = {SCHEMA_VERSION}\n", f"SCHEMA_VERSION = {SCHEMA_VERSION + 1}\n"
    )
    script = "CREATE TABLE note (at_s REAL, text TEXT)"
    edit(schema, "Mapping[int, str] = {", f'Mapping[int, str] = {{{SCHEMA_VERSION}: "{script}", ')
    return tree


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert text.count(old) == 1
    file.write_text(text.replace(old, new))


def command(side: Side, role: str, tree: Path | None = None) -> Sequence[str]:
    path = ["env", f"PYTHONPATH={tree}"] if tree is not None else []
    return [*path, sys.executable, "-m", "foreshard", role, str(side.config)]


def apart(side: Side) -> None:
    """`serve` and `engine`, each by itself, as units or containers would."""
    for role in ("serve", "engine"):
        side.keep(role, command(side, role))


async def roll(side: Side, role: str, tree: Path | None, version: str) -> None:
    """Replace one process by that of another version, and see that it is that one."""
    await side.release(role)
    side.keep(role, command(side, role, tree))
    await side.whole()

    async def is_replaced() -> bool:
        if role == "serve":
            return (await side.sink.status())["foreshard"] == version
        if tree is not None:
            # Told by what it did to the store, which we can no longer read.
            return newer_state(state_dir(side.settings) / FILE_NAME) is not None
        status = asking.engine_status(side.settings)
        return status is not None and status["engine"]["foreshard"] == version

    await until(is_replaced, f"{role} is {version}")


async def test_an_upgrade_and_the_way_back_fail_no_request_and_keep_the_plan(
    tmp_path: Path,
) -> None:
    tree = await asyncio.to_thread(newer, tmp_path)
    async with twins([ROLLED], begin=apart) as stage:
        side = stage.sides[ROLLED]

        async def is_drained() -> bool:
            table = await side.live()
            return table is not None and side.drained(table) == {"eu-1"}

        async def is_given_back() -> bool:
            table = await side.live()
            return table is not None and not side.drained(table)

        async def act() -> None:
            # A plan that nobody who forgot it would make again.
            side.announce("eu-1", for_s=600.0)
            await until(is_drained, "eu-1 is drained ahead of its window")
            await side.whole()
            live, seen = await side.live(), len(side.versions)
            updates = await side.updates()
            for role in ("serve", "engine"):
                await roll(side, role, tree, NEW)
            for role in ("engine", "serve"):
                await roll(side, role, None, OLD)
            assert await side.live() == live
            assert side.versions[seen:] == []
            assert await side.updates() == updates, "Envoy was told what it knew already"
            side.announce(for_s=0.0)
            await until(is_given_back, "it steers: eu-1 is given back")

        run = await stage.play(act, announced=())
        assert not await stage.lost()
        assert side.exits == []
        assert list(side.settings.data_dir.glob("state.newer-*")), "the newer store is kept"
        out = tmp_path / "bundle.zip"
        await asyncio.to_thread(bundle, side.config, side.settings, out=out)
        done = await asyncio.to_thread(replay, out)
        assert done.turns > 10
        assert done.acts > 2
        assert done.differing == ()
        assert done.versions == {OLD, NEW}
    records = run.fleets[ROLLED].finished()
    verdict = judge(records, service.CLASSES)
    assert len(records) > 500
    assert not np.any(verdict.failed)
    assert not np.any(verdict.shed)
