"""The alert rules, evaluated by Prometheus' own tool, against what our pages really tell."""

from __future__ import annotations

import asyncio
import re
import subprocess
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path

import pytest
import yaml

from foreshard.controller.page import engine_page, relay_page, serve_page
from tests.architecture.source import ROOT
from tests.controller.test_loop import Stage

RULES = ROOT / "deploy" / "prometheus" / "foreshard.rules.yaml"
GUIDE = ROOT / "docs" / "how-to" / "watch.md"
STATUS = {
    "version": 7,
    "frozen": None,
    "nodes": [{"node": "edge-1", "synced": True, "nacks": 0}],
    "applied": 7,
    "rejected": 0,
    "problems": [],
    "push_to_ack_s": {"p50": 0.002, "p99": None},
}


@pytest.fixture(scope="session")
def promtool() -> Path:
    script = [str(ROOT / "tests" / "bring_prometheus.sh"), str(ROOT / ".tools" / "prometheus")]
    brought = subprocess.run(script, capture_output=True, text=True, check=False)
    assert brought.returncode == 0, brought.stderr
    return ROOT / brought.stdout.strip() / "promtool"


KEPT = {
    "version": 7,
    "unconfirmed_s": 0.3,
    "is_kept": True,
    "is_answering": True,
    "is_refused": False,
}


async def all_pages() -> tuple[str, ...]:
    stage = Stage()
    await stage.turn(12)
    return engine_page(stage.loop.vitals), serve_page(STATUS), relay_page({"eu": KEPT})


def test_every_alert_fires_when_it_should_and_only_then(promtool: Path) -> None:
    tests = RULES.with_name("foreshard.rules.test.yaml")
    done = subprocess.run(
        [str(promtool), "test", "rules", tests.name],
        cwd=tests.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    named = tests.read_text(encoding="utf-8")
    assert all(alert in named for alert in alerts()), "an alert is not tested"


async def test_an_alert_asks_for_nothing_that_no_page_tells() -> None:
    told = set(re.findall(r"^# TYPE (\w+)", "".join(await all_pages()), re.MULTILINE))
    asked = {
        name
        for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
        for rule in group["rules"]
        for name in re.findall(r"\bforeshard_\w+", rule["expr"])
    }
    assert asked
    assert asked <= told


async def test_our_pages_are_what_prometheus_calls_well_formed(promtool: Path) -> None:
    for page in await all_pages():
        check = await asyncio.create_subprocess_exec(
            *(str(promtool), "check", "metrics"), stdin=PIPE, stdout=PIPE, stderr=STDOUT
        )
        said, _ = await check.communicate(page.encode())
        assert check.returncode == 0, said


def test_every_alert_is_explained() -> None:
    guide = GUIDE.read_text(encoding="utf-8")
    assert not [alert for alert in alerts() if f"`{alert}`" not in guide]


def alerts() -> list[str]:
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return [rule["alert"] for group in groups for rule in group["rules"]]


def test_two_envoys_of_one_name_are_one_line_or_prometheus_would_lose_one() -> None:
    nodes = [{"node": "edge-1", "synced": True, "nacks": n} for n in (0, 2)]
    page = serve_page({**STATUS, "nodes": nodes})
    lines = [each for each in page.splitlines() if each.startswith("foreshard_serve_nacks")]
    assert lines == ['foreshard_serve_nacks{node="edge-1"} 2.0']
