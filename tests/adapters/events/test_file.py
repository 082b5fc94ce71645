from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreshard.adapters.events.file import FileEventSource, _event
from foreshard.model.errors import SourceError
from foreshard.model.events import DependencyLevel, EventKind, SystemEvent
from foreshard.testing.conformance.source import check_event_source

NOW_S = 1_000.0
GOOD = {
    "id": "power",
    "kind": "maintenance",
    "cells": ["eu-1"],
    "known_at_s": 900,
    "starts_at_s": 1_100,
    "ends_at_s": 1_200,
    "note": "host off",
}


def source(path: Path) -> FileEventSource:
    return FileEventSource(path, now_s=lambda: NOW_S)


def written(path: Path, *entries: object) -> Path:
    path.write_text(json.dumps(entries))
    return path


async def refusal(path: Path) -> str:
    with pytest.raises(SourceError) as caught:
        await source(path).read()
    assert str(path) in str(caught.value)
    return str(caught.value)


async def test_an_entry_becomes_an_event(tmp_path: Path) -> None:
    (event,) = await source(written(tmp_path / "events.json", GOOD)).read()
    assert event == SystemEvent(
        id="power",
        kind=EventKind.MAINTENANCE,
        cells=frozenset({"eu-1"}),
        known_at_s=900.0,
        starts_at_s=1_100.0,
        ends_at_s=1_200.0,
        note="host off",
    )


async def test_a_bug_has_a_version_and_a_dependency_a_level(tmp_path: Path) -> None:
    bug = GOOD | {"id": "bug", "kind": "known_bug", "version": "4.2.1"}
    payments = {"kind": "dependency", "dependency": "payments", "level": "partial_outage"}
    found = await source(written(tmp_path / "e.json", bug, GOOD | payments)).read()
    assert found[0].version == "4.2.1"
    assert found[1].dependency == "payments"
    assert found[1].level is DependencyLevel.PARTIAL_OUTAGE


async def test_the_source_keeps_its_contract(tmp_path: Path) -> None:
    path = written(tmp_path / "events.json", GOOD)
    await check_event_source(source(path), now_s=NOW_S)


async def test_yaml_with_written_times_says_the_same(tmp_path: Path) -> None:
    path = tmp_path / "events.yaml"
    path.write_text(
        "- id: power\n  kind: maintenance\n  cells: [eu-1]\n  known_at_s: 900\n"
        "  starts_at_s: 1970-01-01T00:18:20Z\n  ends_at_s: '1970-01-01T01:20:00+01:00'\n"
        "  note: host off\n"
    )
    same = written(tmp_path / "events.json", GOOD)
    assert await source(path).read() == await source(same).read()


@given(st.datetimes(timezones=st.timezones(), min_value=datetime(1980, 1, 1)))  # noqa: DTZ001 - hypothesis wants it naive
def test_a_time_in_any_zone_is_one_moment(moment: datetime) -> None:
    entry = GOOD | {
        "starts_at_s": moment.astimezone(UTC).isoformat(),
        "ends_at_s": 253_402_300_799.0,
    }
    event = _event(entry, where="entry 1", known={}, written_s=0.0)
    assert event.starts_at_s == pytest.approx(moment.timestamp(), abs=1e-3)


async def test_all_means_every_cell(tmp_path: Path) -> None:
    (event,) = await source(written(tmp_path / "e.json", GOOD | {"cells": "all"})).read()
    assert event.concerns("anything")


async def test_events_that_are_over_are_left_out(tmp_path: Path) -> None:
    over = GOOD | {"id": "over", "starts_at_s": 1, "ends_at_s": NOW_S}
    events = await source(written(tmp_path / "e.json", over, GOOD)).read()
    assert [event.id for event in events] == ["power"]


async def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    path = written(tmp_path / "e.json", GOOD)
    events = source(path)
    await events.read()
    written(tmp_path / "new", GOOD | {"id": "other"}).replace(path)
    assert [event.id for event in await events.read()] == ["other"]


async def test_a_bad_edit_is_refused_until_it_is_mended(tmp_path: Path) -> None:
    path = written(tmp_path / "e.json", GOOD)
    events = source(path)
    await events.read()
    path.write_text("[{")
    for _ in range(2):
        with pytest.raises(SourceError, match="is not JSON"):
            await events.read()
    written(path, GOOD)
    assert len(await events.read()) == 1


async def test_an_entry_without_known_at_keeps_the_time_it_was_first_written(
    tmp_path: Path,
) -> None:
    entry = {key: value for key, value in GOOD.items() if key != "known_at_s"}
    path = written(tmp_path / "e.json", entry)
    os.utime(path, (700.0, 700.0))
    events = source(path)
    assert (await events.read())[0].known_at_s == 700.0
    written(path, entry, GOOD | {"id": "second"})
    os.utime(path, (800.0, 800.0))
    assert [event.known_at_s for event in await events.read()] == [700.0, 900.0]


@pytest.mark.parametrize(
    ("change", "because"),
    [
        ({"starts_at_s": "soon"}, "entry 1: starts_at_s is 'soon', must be epoch seconds"),
        ({"starts_at_s": True}, "starts_at_s is True"),
        ({"starts_at_s": "2026-11-23T21:00:00"}, "write 2026-11-23T21:00:00Z for UTC"),
        ({"ends_at_s": 1_050}, "ends_at_s is 1050.0, must be after starts_at_s"),
        ({"ends_at_s": float("nan")}, "ends_at_s is nan"),
        ({"kind": "party"}, "kind is 'party', must be one of dependency, deploy"),
        ({"kind": ["party"]}, "kind is ['party']"),
        ({"cells": "eu-1"}, "cells is 'eu-1', must be a list of cell names, or all"),
        ({"cells": [1]}, "cells is [1]"),
        ({"id": ""}, "id is ''"),
        ({"note": 3}, "note is 3"),
        (
            {"kind": "known_bug", "version": 4.2},
            "version is 4.2, must be text: write it in quotes",
        ),
        ({"version": "4.2"}, "version is '4.2', which only a known_bug or a deploy has"),
        ({"dependency": "payments"}, "which only a dependency event has"),
        ({"kind": "dependency", "dependency": "payments"}, "give both, the level one of"),
        ({"kind": "dependency", "level": "major_outage"}, "dependency is '', level major_outage"),
        (
            {"kind": "dependency", "dependency": "payments", "level": "down"},
            "level is 'down', must be one of degraded_performance, major_outage, operational",
        ),
        ({"ends": 3}, "entry 1: has ends, known are cells"),
    ],
)
async def test_a_bad_value_is_named_with_file_entry_and_key(
    tmp_path: Path, change: dict[str, object], because: str
) -> None:
    assert because in await refusal(written(tmp_path / "e.json", GOOD | change))


async def test_a_missing_key_is_named(tmp_path: Path) -> None:
    assert "entry 2: has no cells" in await refusal(
        written(
            tmp_path / "e.json",
            GOOD,
            {key: value for key, value in GOOD.items() if key != "cells"},
        )
    )


async def test_an_id_that_is_used_twice_is_refused(tmp_path: Path) -> None:
    assert "entry 2: id 'power' is used" in await refusal(written(tmp_path / "e.json", GOOD, GOOD))


@pytest.mark.parametrize(
    ("text", "because"),
    [
        ("", "is empty, must be a list of events"),
        ("id: power", "is a dict, must be a list"),
        ("- power", "entry 1: is 'power', must be a mapping"),
        ("- {", "is not YAML"),
        ("[" * 5_000, "is not YAML"),
        ("- starts_at_s: 2026-13-40T00:00:00Z", "is not YAML"),
        ("- !!python/object/apply:os.getcwd []", "is not YAML"),
    ],
)
async def test_a_file_that_is_no_list_of_events_is_refused(
    tmp_path: Path, text: str, because: str
) -> None:
    path = tmp_path / "e.yaml"
    path.write_text(text)
    assert because in await refusal(path)


async def test_no_events_is_an_empty_list(tmp_path: Path) -> None:
    assert await source(written(tmp_path / "e.json")).read() == ()


async def test_a_missing_file_is_refused_with_the_way_out(tmp_path: Path) -> None:
    assert "create it, with [] for no events" in await refusal(tmp_path / "absent.yaml")


async def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "e.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    assert "cannot be read" in await refusal(path)


async def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "e.yaml"
    path.write_bytes(b" " * (1024 * 1024 + 1))
    assert "more than 1048576" in await refusal(path)


async def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "events.json")
    assert "is no regular file" in await refusal(tmp_path / "events.json")
