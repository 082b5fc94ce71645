from __future__ import annotations

import string
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from foreshard.config import Settings, parse
from foreshard.config.consistency import contradictions
from foreshard.config.reading import MOST_TOLD
from foreshard.model.errors import ConfigError
from tests.test_config import refusal, text


def refused(written: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(written)
    return str(caught.value)


def test_contradictions_hide_neither_each_other_nor_behind_wrong_values() -> None:
    def break_much(values: dict[str, Any]) -> None:
        values["tick_s"] = "fast"
        values["default_class"] = "video"
        values["classes"][0]["timeout_s"] = 0.1
        values["classes"][0]["weight"] = -1
        values["classes"][1]["weight"] = 1e308
        values["classes"][1]["needs"] = {"cpu": 1e300, "cpuu": 1}
        values["classes"][1]["regions"] = ["mars"]
        values["cells"][1]["nodes"] = values["cells"][0]["nodes"]
        values["cells"][2]["name"] = "eu-1"
        values["scrape"]["gauges"] = [
            {"resource": "memory", "used": {"metric": "used"}, "limit": 5},
            {"resource": "memory", "used": {"metric": "used"}, "limit": -5},
        ]
        values["balancers"].append(values["balancers"][0])
        values["envoy"]["listen"] = values["envoy"]["discovery"]
        values["thresholds"] = {"relent_p": 0.6, "doubt_s": -1}
        values["budget"] = {"rest_ceiling": 0.99, "ceiling": 0.5, "nonsense": 1}
        values["latency_ms"] = {"eu": {"moon": 3}}
        values["egress_per_gb"] = {"eu": {"moon": 3}}
        values["classes"][0]["residency"] = {"eu": ["mars"]}
        values["mode"] = "advise"
        values["classes"][2]["handover"] = {"webhook": "http://127.0.0.1:1/"}

    said = refusal(break_much)
    for key in (
        "tick_s is 'fast', must be a number",
        "default_class is 'video', must be one of checkout, search, report",
        "classes.0.timeout_s is 0.1, must be at least objective_s",
        "classes.0.weight is -1, must be greater than 0",
        "classes.1.weight is 1e+308, must be less than or equal to 1000000",
        "classes.1.needs.cpu is 1e+300, must be less than or equal to 1000000000000000",
        "classes.1.needs.cpuu is of a resource that no gauge of scrape.gauges measures",
        "classes.1.regions is ['mars'], no cell stands there; name one of eu, us",
        "which cells.0.nodes.0 has already: a node belongs to one cell",
        "cells.2.name is 'eu-1', which cells.0.name has already",
        "scrape.gauges none of cpu has `capacity: true`",
        "scrape.gauges.1.resource is 'memory', which gauges.0.resource has already",
        "scrape.gauges.1.limit is -5, must be greater than 0",
        "balancers.1.admin is",
        "envoy.listen is",
        "thresholds.relent_p is 0.6, must be below doubt_p (0.5)",
        "thresholds.doubt_s is -1, must be greater than or equal to 0",
        "budget.rest_ceiling is 0.99, must be at most ceiling (0.5)",
        "budget.nonsense is unknown",
        "latency_ms.eu.moon names a region without a cell; there are eu, us",
        "latency_ms.eu says nothing of us, which would count as 0 ms; name all",
        "egress_per_gb.eu.moon names a region without a cell; there are eu, us",
        "classes.0.residency.eu is ['mars'], no cell stands there; name one of eu, us",
        "mode is 'advise', must be act or observe",
        "classes.2.handover is set, but a class without key_header has no slots to hand over",
        "classes.2.handover is set, but no replicas are named",
    ):
        assert key in said, f"{key}\nis not in\n{said}"


def test_errors_stand_in_the_order_of_the_file_with_line_and_column() -> None:
    written = "service: shop\ntick_s: -1\nclasses:\n  - {name: a b, weight: 0}\n"
    lines = refused(written).splitlines()[1:]
    places = [line.partition(":")[0].split() for line in lines]
    numbers = [(int(p[1].rstrip(",")), int(p[3])) for p in places]
    assert numbers == sorted(numbers)
    assert "  line 2, column 1: tick_s is -1, must be greater than 0" in lines
    assert any("line 4, column 6: classes.0.name is 'a b'" in line for line in lines)
    assert any("line 4, column 17: classes.0.weight is 0" in line for line in lines)


@pytest.mark.parametrize(
    ("key", "near"),
    [("servce", "service"), ("balancer", "balancers"), ("default_clas", "default_class")],
)
def test_an_unknown_key_is_told_its_nearest_neighbour(key: str, near: str) -> None:
    said = refusal(lambda v: v.update({key: 1}))
    assert f"{key} is unknown, did you mean {near}?" in said


def test_an_unknown_key_deep_inside_is_told_what_there_is() -> None:
    said = refusal(lambda v: v["scrape"]["gauges"][0]["used"].update(zzz=1))
    assert "scrape.gauges.0.used.zzz is unknown, there are metric, labels" in said
    said = refusal(lambda v: v["scrape"]["gauges"][0].update(limit={"metrc": "x"}))
    assert "scrape.gauges.0.limit.metrc is unknown, did you mean metric?" in said
    assert "scrape.gauges.0.limit.metric is missing" in said


def test_of_very_many_errors_only_those_that_are_told_are_put_in_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked: list[str] = []

    def near(word: str, *_: object, **__: object) -> list[str]:
        looked.append(word)
        return []

    monkeypatch.setattr("foreshard.config.refusal.get_close_matches", near)
    strange = {f"key_{n:05}": 1 for n in range(10_000)}
    # Looked up one by one in a list of all, their places alone would take minutes.
    said = refusal(
        lambda v: v["cells"][1].update(strange), lambda v: v["classes"][0].update(strange)
    )
    assert said.startswith("shop.yaml: 20000 to mend\n")
    assert "  and 19800 more" in said
    assert "cells.1.key_00000 is unknown, there are name, region, zone, hardware, nodes" in said
    assert len(looked) == MOST_TOLD
    assert len(said.splitlines()) == MOST_TOLD + 2


def test_what_is_missing_is_told_with_what_it_is_for() -> None:
    said = refusal(lambda v: v["balancers"][0].pop("origin"))
    assert "balancers.0.origin is missing: region in which this Envoy stands." in said


def test_words_that_yaml_takes_for_something_else_are_told_to_be_quoted() -> None:
    said = refusal(lambda v: v.update(service=None))
    assert "service is None, must be text" in said
    written = text().replace("name: checkout", "name: no", 1)
    assert "classes.0.name is False, must be text; put it in quotes" in refused(written)


def test_what_would_be_right_is_what_the_value_lacks() -> None:
    def spoil(values: dict[str, Any]) -> None:
        values["scrape"].update(path="/x HTTP/1.1\r\nX: y", health_path="/ x")
        values["driver"] = {"webhook": "http://x:99999/"}
        values["classes"][0]["match"] = {"path_prefix": "/a\nb"}

    said = refusal(spoil)
    assert (
        "scrape.path is '/x HTTP/1.1\\r\\nX: y', must start with '/' and hold no white space"
        in said
    )
    assert "scrape.health_path is '/ x', must start with '/' and hold no white space, or" in said
    assert "'http://x:99999/', must be http:// or https://, a host and perhaps the port 1" in said
    assert "path_prefix is '/a\\nb', must start with '/' and be one line, or be empty" in said


@pytest.mark.parametrize("word", ["yes", "on", "true"])
def test_a_truth_value_is_no_number(word: str) -> None:
    assert f"tick_s is {True}, must be a number" in refused(f"tick_s: {word}\n")
    written = text().replace("timeout_s: 2.0", f"timeout_s: {word}", 1)
    assert "classes.0.timeout_s is True, must be a number" in refused(written)


def test_no_secret_is_shown() -> None:
    secret = "hunter2hunter2"
    for change in (
        {"api_token": secret},
        {"password": secret},
        {"driver": {"webhook": f"ftp://user:{secret}@host/x?sig={secret}"}},
    ):
        assert secret not in refusal(lambda v, c=change: v.update(c))  # type: ignore[misc]  # bound
    assert secret not in refused(f"password: {secret}\n  broken: [")
    assert secret not in refused(f"password: '{secret}\n")


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("a:\n\t- b\n", "indent with spaces, not with tabs"),
        ("\ta: b\n", "indent with spaces"),
        ("a: &x [*x]\n", "contains itself by an alias"),
        ("a: *nobody\n", "undefined alias"),
        ("[" * 5_000, "levels deep"),
        ("a: " + "{b: " * 3_000, "levels deep"),
        ("a: 2026-02-31\n", "put dates and long numbers in quotes"),
        ("a: " + "9" * 10_000 + "\n", "put dates and long numbers in quotes"),
        ("a: !!python/object/apply:os.system [x]\n", "is not YAML"),
        ("a: 1\n---\nb: 2\n", "line 2, column 1: expected a single document"),
        ("service: a\x00b", "a character that no text has (#x0000)"),
        ("ä: 1\nß: \x0c", "line 2, column 4: a character that no text has (#x000c)"),
        ("{a: 1, a: 2", "is not YAML: line 2"),
        ("5\n", "must be a mapping of keys, is of type int"),
    ],
)
def test_hostile_yaml_is_refused_in_words(written: str, words: str) -> None:
    assert words in refused(written)


def test_a_laughing_alias_is_counted_and_not_expanded() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    assert "values, a configuration at most" in refused("\n".join(lines))


@pytest.mark.parametrize("value", [".nan", ".inf", "-.inf", "1.0e+400", "9" * 400])
def test_numbers_that_are_none_are_refused(value: str) -> None:
    assert "tick_s is" in refused(f"tick_s: {value}\n")


def test_an_alias_that_is_no_attack_is_fine() -> None:
    values = yaml.safe_load(text())
    written = yaml.safe_dump(values | {"classes": []}, sort_keys=False)
    whole = yaml.safe_dump(values["classes"], default_flow_style=True, width=10_000)
    written = written.replace("classes: []", f"classes: &c {whole.strip()}")
    assert parse(written).request_classes() == parse(text()).request_classes()


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(st.sampled_from(sorted(Settings.model_fields)), inner, max_size=4)
        ),
        max_leaves=20,
    )
)
def test_any_values_end_in_settings_or_in_a_refusal(values: object) -> None:
    with suppress(ConfigError):
        assert parse(yaml.safe_dump(values)).cells


@settings(deadline=None)
@example("\x85\x0c")
@given(st.text(alphabet=string.printable + "äß€\x85", max_size=200))
def test_any_text_ends_in_settings_or_in_a_refusal(written: str) -> None:
    with pytest.raises(ConfigError):
        parse(written)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from([*sorted(Settings.model_fields), "name"]),
        st.recursive(
            st.none() | st.floats() | st.text(max_size=3),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["name", "nodes", "timeout_s", "regions", "gauges", "admin"]),
                    inner,
                    max_size=3,
                )
            ),
            max_leaves=12,
        ),
    )
)
def test_the_rules_stand_any_values(values: Mapping[str, Any]) -> None:
    for found in contradictions(values):
        assert found.says
        assert found.where


def federated(values: dict[str, Any]) -> None:
    """The shop's eu cells, with us as a peer."""
    values["cells"] = [c for c in values["cells"] if c["region"] == "eu"]
    values["balancers"].append({"admin": "127.0.0.1:9931", "origin": "eu-in"})
    entry = {"entry": ["10.2.0.1:10001"], "aggregate": "http://10.2.0.1:18010/aggregate"}
    values["federation"] = {
        "region": "eu",
        "inbound": "eu-in",
        "peers": [{"region": "us", **entry}],
    }
    values["latency_ms"] = {"eu": {"eu": 2, "us": 80}}


def test_a_peer_is_one_cell_and_what_it_sends_goes_no_further() -> None:
    values = yaml.safe_load(text())
    federated(values)
    parsed = parse(yaml.safe_dump(values))
    assert parsed.fleet().peers == {"us"}
    assert parsed.fleet().distance_ms("eu", parsed.fleet().cell("us")) == 80.0
    assert all(not c.allows("eu-in", "us") for c in parsed.request_classes())
    assert all(c.allows("eu", "us") for c in parsed.request_classes())


def test_a_federation_that_contradicts_the_fleet_is_refused() -> None:
    def break_it(values: dict[str, Any]) -> None:
        federated(values)
        values["cells"][0]["region"] = "ap"
        values["cells"][1]["name"] = "us"
        values["balancers"].pop()
        values["classes"][0] |= {"key_header": "x-key", "replicas": {"us": ["eu-3"]}}

    said = refusal(break_it)
    for key in (
        "cells.0.region is 'ap', but this engine plans eu alone (federation.region)",
        "cells.1.name is 'us', which is the name of a peer region; each needs its own",
        "federation.inbound is 'eu-in', but no balancer has that origin",
        "classes.0.regions must be [eu]: data of a class is not handed over between engines",
    ):
        assert key in said
