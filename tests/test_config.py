from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from foreshard.app.steering import engine_of
from foreshard.config import Settings, load, parse
from foreshard.lab import service
from foreshard.lab.steering import HORIZONS_S, Site, demo_config
from foreshard.model.errors import ConfigError
from foreshard.model.plan import Mode
from foreshard.model.workload import OwnedData

Change = Callable[[dict[str, Any]], object]


def site() -> Site:
    return Site(
        fleet=service.fleet({s.name: 9_000 + i for i, s in enumerate(service.SITES)}),
        data_dir=Path("/somewhere/data"),
        events=Path("/somewhere/events.json"),
        webhook="http://127.0.0.1:9100/recycle",
        listen="127.0.0.1:10000",
        admin="127.0.0.1:9901",
        discovery="127.0.0.1:18000",
    )


def text(*changes: Change) -> str:
    values = yaml.safe_load(yaml.safe_dump(dict(demo_config(site()))))
    for change in changes:
        change(values)
    return yaml.safe_dump(values, sort_keys=False)


def refusal(*changes: Change) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(text(*changes), name="shop.yaml")
    return str(caught.value)


def test_the_demo_s_configuration_comes_back_as_the_nouns_it_was_made_of() -> None:
    settings = parse(text())
    assert settings.fleet() == site().fleet
    declared = settings.request_classes()
    assert [c.name for c in declared] == [c.name for c in service.CLASSES]
    assert declared == service.CLASSES
    assert settings.origins() == ("eu",)
    assert tuple(settings.forecast.horizons_s) == HORIZONS_S
    assert settings.mode is Mode.ACT


def test_replicas_and_a_hook_make_a_class_that_owns_data() -> None:
    hook = {"webhook": "http://127.0.0.1:1/slots", "timeout_s": 12}
    owning = {"replicas": {"eu-1": ["eu-2", "us-1"]}, "handover": hook}
    settings = parse(text(lambda v: v["classes"][0].update(owning)))
    checkout, search, _ = settings.request_classes()
    assert checkout.data == OwnedData(replicas={"eu-1": ("eu-2", "us-1")}, handover_s=12.0)
    assert (checkout.moving_s, search.moving_s) == (120.0, 1.0)
    silent = parse(text(lambda v: v["classes"][0].update(replicas={"eu-1": ["eu-2"]})))
    assert silent.request_classes()[0].data == OwnedData(replicas={"eu-1": ("eu-2",)})
    assert Settings.model_validate(settings.model_dump()) == settings


def test_a_configuration_survives_being_written_and_read_again() -> None:
    once = parse(text())
    again = Settings.model_validate(once.model_dump())
    assert again == once


def test_the_demo_s_configuration_makes_an_engine() -> None:
    settings = parse(text())
    assert engine_of(settings).begin(None, {}, now_s=0.0).cells.keys() == set(
        settings.fleet().names
    )


def test_every_error_is_told_at_once_with_line_key_and_value() -> None:
    def break_much(values: dict[str, Any]) -> None:
        values["tick_s"] = -1
        values["nonsense"] = 3
        values["classes"][1]["priority"] = "urgent"
        values["classes"][0]["timeout_s"] = 0.1
        values["cells"][2]["nodes"] = ["127.0.0.1:99999"]
        values["cells"][3]["nodes"] = ["nowhere"]
        values["thresholds"]["relent_p"] = 0.9
        values["budget"]["ceiling"] = 0.5

    said = refusal(break_much)
    written = text(break_much).splitlines()
    assert said.startswith("shop.yaml: 8 to mend\n")
    lines = {line.split(": ", 2)[1].split(" ")[0]: line for line in said.splitlines()[1:]}
    for key, word in {
        "tick_s": "tick_s: -1",
        "nonsense": "nonsense: 3",
        "classes.1.priority": "priority: urgent",
        "thresholds.relent_p": "relent_p: 0.9",
        "budget.rest_ceiling": "budget:",
        "cells.2.nodes.0": "127.0.0.1:99999",
        "cells.3.nodes.0": "nowhere",
    }.items():
        number = int(lines[key].split()[1].rstrip(":,"))
        assert word in written[number - 1], lines[key]
    assert "is 'urgent'" in lines["classes.1.priority"]
    assert "critical, normal, sheddable" in lines["classes.1.priority"]
    assert "must be at least objective_s" in lines["classes.0.timeout_s"]
    assert "the port 1 to 65535" in lines["cells.2.nodes.0"]
    assert "below doubt_p" in lines["thresholds.relent_p"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda v: v.pop("cells"), "cells"),
        (lambda v: v.update(cells=[]), "cells"),
        (lambda v: v["cells"].append(v["cells"][0]), "'eu-1'"),
        (lambda v: v["classes"].append(v["classes"][0]), "must be unique"),
        (lambda v: v.update(default_class="video"), "must be one of checkout, search, report"),
        (
            lambda v: v["classes"][0].update(regions=["mars"]),
            "no cell stands there; name one of eu, us",
        ),
        (lambda v: v["classes"][0]["needs"].update(cpu=-1.0), "needs.cpu is -1.0, must be"),
        (lambda v: v["classes"][0].update(name="a b"), "name is 'a b', use letters"),
        (lambda v: v["forecast"].update(horizons_s=[60.0, 20.0]), "must rise"),
        (lambda v: v["driver"].update(webhook="ftp://x"), "driver.webhook"),
        (lambda v: v.update(tick_s=float("nan")), "tick_s is nan"),
        (lambda v: v["budget"].update(max_moved_per_tick=0.0), "max_moved_per_tick is 0.0"),
        (lambda v: v.update({1: 2}), "1 is a key that is no text"),
        (lambda v: v["classes"][0].update(move_cost_s=-1), "move_cost_s is -1"),
        (
            lambda v: v["classes"][0].update(replicas={"eu-1": ["eu-9"]}),
            "replicas.eu-1 names cell eu-9, must be one of eu-1,",
        ),
        (
            lambda v: v["classes"][0].update(regions=["eu"], replicas={"eu-1": ["us-1"]}),
            "names cell us-1 in region us, must be in one of eu",
        ),
        (lambda v: v["classes"][0].update(replicas={"eu-1": ["eu-1"]}), "must be other cells"),
        (
            lambda v: v["envoy"].update(relay=v["envoy"]["discovery"]),
            "envoy.relay is 127.0.0.1:18000, which envoy.discovery has; each needs a port",
        ),
        (lambda v: v["classes"][0].update(replicas={"eu-1": []}), "no cell has one"),
        (
            lambda v: v["classes"][1].update(replicas={"eu-1": ["eu-2"]}),
            "search: has replicas but no key_header",
        ),
        (
            lambda v: v["classes"][1].update(handover={"webhook": "http://127.0.0.1:1/"}),
            "without key_header has no slots to hand over",
        ),
        (
            lambda v: v["classes"][0].update(handover={"webhook": "http://127.0.0.1:1/"}),
            "no replicas are named",
        ),
        (
            lambda v: v["classes"][0].update(
                replicas={"eu-1": ["eu-2"]}, handover={"webhook": "127.0.0.1:1"}
            ),
            "handover.webhook",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(change: Change, words: str) -> None:
    assert words in refusal(change)


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("", "must be a mapping of keys, is empty"),
        ("[]", "must be a mapping of keys, is of type list"),
        ("a: [", "is not YAML"),
        ("? [a, b]\n: c", "is not YAML"),
        ("\x00", "is not YAML"),
    ],
)
def test_what_is_no_configuration_at_all_is_refused_in_words(written: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse(written)


def test_relative_paths_start_at_the_folder_of_the_file(tmp_path: Path) -> None:
    def relative(values: dict[str, Any]) -> None:
        values["data_dir"] = "var/data"
        values["events_file"] = "events.json"

    file = tmp_path / "shop.yaml"
    file.write_text(text(relative), encoding="utf-8")
    settings = load(file)
    assert settings.data_dir == tmp_path / "var" / "data"
    assert settings.events_file == tmp_path / "events.json"
    file.write_text(text(), encoding="utf-8")
    assert load(file).data_dir == Path("/somewhere/data")


def test_a_key_file_starts_at_the_folder_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text(text(lambda v: v["envoy"].update(relay_key_file="relay.key")))
    assert load(file).envoy.relay_key_file == tmp_path / "relay.key"


def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot be read .No such file"):
        load(tmp_path / "missing.yaml")
    with pytest.raises(ConfigError, match="is no regular file"):
        load(tmp_path)
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(ConfigError, match="is not text"):
        load(binary)


@pytest.mark.parametrize("name", ["fifo.yaml", "zero.yaml"])
def test_what_is_no_file_is_refused_and_not_waited_for(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.yaml")
    (tmp_path / "zero.yaml").symlink_to("/dev/zero")
    with pytest.raises(ConfigError, match=r"cannot be read .it is no regular file"):
        load(tmp_path / name)


def test_a_key_that_stands_twice_is_refused_with_both_lines() -> None:
    text = "service: a\nforecast:\n  every_s: 1\n  every_s: 2\nservice: b\n"
    with pytest.raises(ConfigError) as refused:
        parse(text)
    assert "line 4, column 3: forecast.every_s stands in line 3 already" in str(refused.value)
    assert "line 5, column 1: service stands in line 1 already" in str(refused.value)


def test_a_class_may_be_kept_to_cells_and_depends_on_what_its_dependencies_need() -> None:
    def change(values: dict[str, Any]) -> None:
        values["service_map"] = {"payments": ["ledger"], "ledger": ["disk"]}
        values["classes"][0] |= {
            "cells": ["eu-1", "eu-2"],
            "match": {"path_template": "/users/{id}", "headers": {"x-tier": "gold"}},
            "dependencies": ["payments"],
            "category": "heavy",
        }

    checkout = parse(text(change)).request_classes()[0]
    assert checkout.cells == {"eu-1", "eu-2"}
    assert checkout.match.path_template == "/users/{id}"
    assert checkout.dependencies == {"payments", "ledger", "disk"}


def test_cells_that_are_not_there_and_circles_of_needs_are_refused() -> None:
    def change(values: dict[str, Any]) -> None:
        values["service_map"] = {"a": ["b"], "b": ["a"]}
        values["classes"][0]["cells"] = ["nowhere"]
        values["classes"][1] |= {"cells": ["us-1"], "regions": ["eu"]}

    said = refusal(change)
    assert "classes.0.cells names nowhere, must be among eu-1, eu-2, eu-3, us-1" in said
    assert "classes.1.cells is ['us-1'], none stands in regions ['eu']" in said
    assert "service_map.a goes in a circle: a -> b -> a" in said


def test_a_match_says_its_path_once() -> None:
    both = {"path_prefix": "/a", "path_template": "/a/{b}"}
    said = refusal(lambda values: values["classes"][0].update(match=both))
    assert "path_prefix, path_template are given" in said
