"""From the engine's own history to a model that flies, with real processes."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import Mapping
from typing import Any

import psutil
import pytest

from foreshard.adapters.store.segments import segments_in
from foreshard.app.places import history_dir
from tests.e2e.stage import Stage, staged, until

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(240)]

STEP_S = 1.0
# A learner that learns from little: what flies here need not be good.
MODEL = "headroom"
ALTERED: Mapping[str, Mapping[str, Any]] = {
    "history": {"step_s": STEP_S},
    "forecast": {"model": MODEL},
    "training": {"held_out_s": 5.0, "sustain": 3, "merge_gap_s": 5.0, "quiet_s": 5.0},
}


async def foreshard(stage: Stage, *words: str) -> str:
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "foreshard", *words, "--config", str(stage.config)),
        stdout=PIPE,
        stderr=STDOUT,
        env={**os.environ, "COLUMNS": "200", "TERM": "dumb"},
    )
    said, _ = await child.communicate()
    assert child.returncode == 0, said.decode()
    return said.decode()


def flies(stage: Stage) -> str:
    status = stage.status()
    return str(status["forecast"]["model"]) if status else ""


def worker_of(stage: Stage) -> psutil.Process | None:
    engine = stage.processes().get("engine")
    for child in engine.children() if engine is not None else ():
        try:
            if "foresee" in child.cmdline():
                return child
        except psutil.NoSuchProcess:
            continue
    return None


async def test_from_the_first_step_to_a_model_that_flies_falls_and_flies_again() -> None:
    async with staged(("eu-1", "eu-2"), altered=ALTERED) as stage:
        history = history_dir(stage.settings)

        async def is_kept() -> bool:
            return len(segments_in(history)) >= 12

        await until(is_kept, "a dozen steps lie on the disk", within_s=40.0)
        assert flies(stage) == "trend"
        assert worker_of(stage) is None
        engine = stage.processes()["engine"].pid

        said = await foreshard(stage, "train")
        assert "nothing changes" in said
        name = said.splitlines()[-1].partition(":")[0]
        assert name.startswith(f"{MODEL}-")
        assert "learned from 2 cells" in await foreshard(stage, "models", "show", name)
        await foreshard(stage, "models", "promote", name)

        async def is_flown() -> bool:
            return flies(stage) == name

        await until(is_flown, f"{name} flies; the log ends: {stage.foreshard.tail(9)}")
        # Nobody was started anew for it.
        assert stage.processes()["engine"].pid == engine
        assert f"forecast: {name}" in await foreshard(stage, "status")

        worker = worker_of(stage)
        assert worker is not None
        worker.send_signal(signal.SIGSTOP)

        async def is_degraded() -> bool:
            return flies(stage) == "trend"

        await until(is_degraded, "trend takes over from a worker that hangs")
        assert "degraded to trend alone" in await foreshard(stage, "status")
        assert "dead or too slow" in await foreshard(stage, "why", "eu-1")
        worker.send_signal(signal.SIGKILL)
        await until(is_flown, f"{name} flies again, from a worker that was started anew")
        again = worker_of(stage)
        assert again is not None
        assert again.pid != worker.pid
        assert stage.processes()["engine"].pid == engine
