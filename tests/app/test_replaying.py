"""What the engine decided, made again from a bundle."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
import yaml
from structlog.testing import capture_logs

from foreshard import __version__
from foreshard.adapters.store import turns
from foreshard.adapters.store.turns import SUFFIX, TurnFiles, lines_of
from foreshard.app.bundling import bundle
from foreshard.app.places import turns_dir
from foreshard.app.replaying import Replayed, replay
from foreshard.app.steering import engine_of
from foreshard.config import Settings, load, parse
from foreshard.controller.loop import Loop
from foreshard.controller.recording import Recording
from foreshard.controller.succession import Heir
from foreshard.lab.steering import demo_config
from foreshard.model.errors import StoreError
from tests.controller.test_loop import Stage
from tests.controller.test_succession import MORE, Changes
from tests.engine.shop import maintenance
from tests.test_config import site


@pytest.fixture(autouse=True)
def _no_time_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or a busy machine would make it rest."""
    monkeypatch.setattr("foreshard.controller.recording.perf_counter", lambda: 0.0)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    values = {**demo_config(site()), "data_dir": "data", "events_file": None}
    file = tmp_path / "shop.yaml"
    file.write_text(yaml.safe_dump(values), encoding="utf-8")
    return file


def hook(config: Path, url: str) -> None:
    """Name a receiver in the configuration."""
    values = yaml.safe_load(config.read_text(encoding="utf-8"))
    values["driver"] = {"webhook": url}
    config.write_text(yaml.safe_dump(values), encoding="utf-8")


def recorded(settings: Settings, **kept: int) -> Stage:
    """A loop between fakes around the configuration's own engine, whose turns are kept."""
    stage = Stage()
    stage.engine = engine_of(settings)
    stage.loop = loop_of(stage, settings, **kept)
    return stage


def loop_of(stage: Stage, settings: Settings, **kept: int) -> Loop:
    recording = Recording(TurnFiles(turns_dir(settings), **kept))
    world = replace(stage.loop._world, recording=recording)
    return Loop(stage.engine, settings.fleet(), world, foresight=None, tick_s=1.0)


async def eventful(stage: Stage) -> None:
    """First plan, a death, refusals, a sink that goes away and comes back, a maintenance."""
    await stage.turn(15)
    stage.serve(down=("us-2",))
    stage.sink.refuse("no such cluster")
    await stage.wait(4)
    stage.sink.refuse("")
    await stage.wait(4)
    stage.sink.cut("gone")
    stage.serve(down=("us-2", "eu-1"))
    await stage.wait(3)
    stage.sink.cut("")
    await stage.wait(4)
    stage.serve()
    stage.events.announce(maintenance("eu-2", known_s=0.0, starts_s=40.0, ends_s=100.0))
    await stage.wait(10)


async def bundled(config: Path, tmp_path: Path) -> Path:
    out = tmp_path / "out.zip"
    await asyncio.to_thread(bundle, config, load(config), out=out)
    return out


async def test_every_decision_of_an_eventful_stretch_comes_out_the_same(
    config: Path, tmp_path: Path
) -> None:
    settings = load(config)
    stage = recorded(settings)
    await eventful(stage)
    done = await replayed(await bundled(config, tmp_path))
    assert done.turns == 40
    assert done.acts >= 4
    assert done.differing == ()
    assert done.versions == {__version__}


async def test_turns_of_classes_that_changed_in_flight_come_out_the_same(
    config: Path, tmp_path: Path
) -> None:
    settings = load(config)
    stage, changes = recorded(settings), Changes()
    stage.loop = Loop(
        stage.engine,
        settings.fleet(),
        replace(stage.loop._world, succession=changes),
        foresight=None,
        tick_s=1.0,
    )
    await stage.turn(12)
    classes = (MORE[1], *settings.request_classes())
    changes.next = Heir(
        version=1,
        engine=engine_of(settings, classes=classes),
        classes=classes,
        default_class=settings.default_class,
    )
    await stage.turn(6)
    done = await replayed(await bundled(config, tmp_path))
    assert (done.turns, done.differing) == (18, ())
    assert stage.live is not None
    assert len(stage.live.classes) == len(classes)


async def test_a_restart_and_full_segments_begin_anew_and_lose_no_turn(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "SEGMENT_BYTES", 6_000)
    settings = load(config)
    stage = recorded(settings)
    await stage.turn(20)
    stage.loop = loop_of(stage, settings)
    await stage.wait(20)
    assert len(list(turns_dir(settings).iterdir())) >= 3
    done = await replayed(await bundled(config, tmp_path))
    assert (done.turns, done.differing) == (40, ())


async def test_a_decision_that_comes_out_otherwise_is_found(config: Path, tmp_path: Path) -> None:
    stage = recorded(load(config))
    await stage.turn(15)
    stage.serve(down=("us-2",))
    await stage.wait(2)

    def revive(line: dict[str, Any]) -> None:
        """The dead cell was alive after all."""
        text = json.dumps(line)
        line.update(json.loads(text.replace('"of": "down"', '"of": "up"')))

    path = await bundled(config, tmp_path)
    edit(path, revive)
    assert (await replayed(path)).differing


async def replayed(path: Path) -> Replayed:
    return await asyncio.to_thread(replay, path)


def edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    with ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    with ZipFile(path, "w") as archive:
        for name, content in files.items():
            if name.endswith(SUFFIX):
                lines = [dict(line) for line in lines_of(content)]
                for line in lines[1:]:
                    change(line)
                files[name] = gzip.compress("\n".join(map(json.dumps, lines)).encode())
            archive.writestr(name, files[name])


async def test_a_line_cut_off_by_a_kill_costs_that_turn_alone(
    config: Path, tmp_path: Path
) -> None:
    settings = load(config)
    stage = recorded(settings)
    await stage.turn(15)
    (segment,) = turns_dir(settings).iterdir()
    segment.write_bytes(segment.read_bytes()[:-20])
    done = await replayed(await bundled(config, tmp_path))
    assert (done.turns, done.differing) == (14, ())


async def test_the_oldest_turns_make_room(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "SEGMENT_BYTES", 10_000)
    settings = load(config)
    stage = recorded(settings, most_bytes=60_000)
    await stage.turn(15)
    await stage.wait(150)
    sizes = [path.stat().st_size for path in turns_dir(settings).iterdir()]
    assert len(sizes) >= 3
    assert sum(sizes) < 70_000


async def test_turns_that_cannot_be_kept_are_said_and_stop_nothing(config: Path) -> None:
    settings = load(config)
    stage = recorded(settings)
    settings.data_dir.mkdir()
    turns_dir(settings).write_text("a file where the directory should be")
    with capture_logs() as logs:
        await stage.turn(3)
    assert [e["event"] for e in logs].count("turn.unkept") == 3
    assert stage.loop.vitals.turns.total() == 3


class SlowLog:
    """Takes its time, as a large fleet does."""

    is_full = False

    def __init__(self, took_s: list[float]) -> None:
        self.took_s, self.lines = took_s, 0

    def begin(self, head: Mapping[str, object], *, at_s: float) -> None:
        self.took_s[0] += 0.3

    def add(self, line: Mapping[str, object]) -> None:
        self.lines += 1

    def essence(self, decision: object) -> str:
        return ""


async def test_keeping_rests_where_it_would_take_too_much_time(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr("foreshard.controller.recording.perf_counter", lambda: clock[0])
    stage = recorded(load(config))
    slow = SlowLog(clock)
    world = replace(stage.loop._world, recording=Recording(slow))
    stage.loop = Loop(stage.engine, load(config).fleet(), world, foresight=None, tick_s=1.0)
    await stage.turn(21)
    assert slow.lines == 4, "0.3 s of each 6 are the part that it may take"


@pytest.mark.parametrize("content", [b"no zip", None])
def test_what_is_no_bundle_is_one_sentence(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StoreError, match="cannot be replayed"):
        replay(path)


@pytest.mark.parametrize(
    "word",
    [
        *("checkout", "127.0.0.1", "127.0.0", "version", "observation", "needs_", "foreshard"),
        *("critical", "heckou", "AAAAAA", "process_resident_memory_bytes", "healthy", "100000"),
        *("hooks.example", "https://", "left-out", "left out", "planner", "memory", "webhook"),
    ],
)
async def test_no_secret_makes_a_bundle_that_cannot_be_replayed(
    word: str, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DB_PASSWORD", word)
    hook(config, "https://robot:S3cr3t-S3cr3t@hooks.example/cells")
    stage = recorded(load(config))
    await eventful(stage)
    done = await replayed(await bundled(config, tmp_path))
    assert done.turns == 40
    assert not done.differing
    assert not done.cut


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("https://robot:S3cr3t-S3cr3t@hooks.example/a", "https://left-out@hooks.example/left-out"),
        ("https://S3cr3t-S3cr3t@hooks.example", "https://left-out@hooks.example"),
        ("https://me:S3cr3t?S3cr3t#@hooks.example/a", "https://left-out@hooks.example/left-out"),
        ("https://hooks.example:8443/S3cr3t/a@b", "https://hooks.example:8443/left-out"),
        ("https://[::1]:8443?token=S3cr3t", "https://[::1]:8443/left-out"),
        ("https://hooks.slack.com/services/S3cr3t", "https://hooks.slack.com/left-out"),
    ],
)
async def test_a_webhook_is_a_url_still_once_its_secrets_are_left_out(
    url: str, masked: str, config: Path, tmp_path: Path
) -> None:
    hook(config, url)
    path = await bundled(config, tmp_path)
    with ZipFile(path) as archive:
        text = archive.read("config.yaml").decode()
    assert yaml.safe_load(text)["driver"]["webhook"] == masked
    assert parse(text).cells == load(config).cells
    assert "S3cr3t" not in text


def name_oddly(config: Path) -> None:
    """Names as people have them, some of which look like a secret or like the name of one."""
    values = yaml.safe_load(config.read_text(encoding="utf-8"))
    values["cells"][0].update(name="sk-bratislava-1", zone="token-1")
    values["classes"][0].update(
        name="auth",
        key_header="x-api-key",
        match={"method": "POST", "path_prefix": "/v1/session:refresh"},
        dependencies=["secret"],
        needs={"password": 0.01},
        replicas={"sk-bratislava-1": ["us-1"]},
    )
    values["default_class"] = "auth"
    values["scrape"]["path"] = "/metrics?token=S3cr3t"
    gauges = values["scrape"]["gauges"]
    gauges.append({**gauges[0], "resource": "password", "capacity": False})
    gauges[0]["used"] = {**gauges[0]["used"], "labels": {"bearer": "S3cr3t"}}
    config.write_text(yaml.safe_dump(values), encoding="utf-8")


async def test_names_that_look_like_secrets_and_name_none_stay(
    config: Path, tmp_path: Path
) -> None:
    name_oddly(config)
    with ZipFile(await bundled(config, tmp_path)) as archive:
        text = archive.read("config.yaml").decode()
    seen = parse(text)
    assert seen.classes == load(config).classes
    assert seen.cells == load(config).cells
    assert "S3cr3t" not in text


async def test_what_the_engine_decided_by_stays_and_words_lose_their_secrets(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DB_PASSWORD", "S3cr3t-word")
    stage = recorded(load(config))
    await stage.turn(15)
    stage.cells.silence("us-2", "refused: token=abcdef and S3cr3t-word")
    stage.events.announce(
        replace(
            maintenance("eu-2", known_s=0.0, starts_s=20.0, ends_s=100.0),
            id="S3cr3t",
            note="the door opens with S3cr3t-word",
        )
    )
    await stage.wait(20)
    path = await bundled(config, tmp_path)
    done = await replayed(path)
    assert (done.turns, done.differing) == (35, ())
    with ZipFile(path) as archive:
        segments = [archive.read(name) for name in archive.namelist() if name.endswith(SUFFIX)]
    kept = b"".join(map(gzip.decompress, segments))
    assert b"the door opens with (left out)" in kept
    assert b"refused: token=(left out) and (left out)" in kept


async def test_a_bundle_without_turns_says_so(config: Path, tmp_path: Path) -> None:
    path = await bundled(config, tmp_path)
    with pytest.raises(StoreError, match="holds no turns"):
        replay(path)


def zipped(path: Path, config: Path, segment: bytes) -> Path:
    with ZipFile(path, "w") as archive:
        archive.write(config, "config.yaml")
        archive.writestr(f"replay/1.000{SUFFIX}", segment)
    return path


@pytest.mark.parametrize(
    ("lines", "because"),
    [
        (b'{"foreshard":"1","state":[]}\n{}\n', "a list stands where EngineState must be"),
        (b"[1, 2]\n", "no JSON object"),
        (b"{" * 100_000 + b"\n", "ends early"),
    ],
)
def test_a_segment_of_something_else_is_one_sentence(
    lines: bytes, because: str, config: Path, tmp_path: Path
) -> None:
    file = zipped(tmp_path / "foreign.zip", config, gzip.compress(lines))
    with pytest.raises(StoreError, match=because):
        replay(file)


def test_a_small_file_that_unpacks_to_a_large_one_is_refused(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "MOST_OF_A_LINE", 4_096)
    file = zipped(tmp_path / "bomb.zip", config, gzip.compress(b" " * 100_000))
    with pytest.raises(StoreError, match="a line is longer than 4096 bytes"):
        replay(file)
