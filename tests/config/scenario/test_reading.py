from __future__ import annotations

import math
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from foreshard.config.scenario import load_scenario, read_scenario, template_of_scenario
from foreshard.config.scenario.consistency import scenario_contradictions
from foreshard.config.scenario.topology import TARGETS
from foreshard.lab import service
from foreshard.lab.scenario.fault import Kind, Recovery, Shape
from foreshard.lab.scenario.scenario import SHOP, CellMake, Discipline, Family, Load, Telemetry
from foreshard.model.errors import ConfigError
from foreshard.model.workload import Priority

HEAD = """\
name: sample
family: predictable
about: Something happens. Something is done.
duration_s: 600
"""
REGIONS = "regions: {eu: {cells: 4, zones: 2, versions: ['1.0', '1.1', '1.1']}, us: {cells: 3}}\n"


KEYS = ("regions", "faults", "classes", "load", "sizes", "latency_ms", "warm_up_s", "duration_s")
WORDS = st.sampled_from(["eu", "cells", "zones", "kind", "zone", "origins", "name", "regions", 7])


def faults(*lines: str) -> str:
    return "faults:\n" + "".join(f"  - {{{line}}}\n" for line in lines)


def cells_of(line: str, head: str = HEAD + REGIONS) -> tuple[str, ...]:
    (fault,) = read_scenario(head + faults(f"kind: leak, at_s: 9, {line}")).faults
    return fault.cells


def refused(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read_scenario(text, name="s.yaml")
    return str(caught.value)


def test_what_is_left_out_is_as_in_the_demo() -> None:
    told = read_scenario(HEAD + "faults: []\n")
    assert told.sites == service.SITES
    assert (told.offers, told.make, told.load) == (SHOP, CellMake(), Load())
    assert told.telemetry == Telemetry()
    assert (told.family, told.pace, told.warm_up_s) == (Family.PREDICTABLE, 1.0, 60.0)
    assert (told.default_class, told.proxies, told.faults) == ("search", 1, ())
    assert told.about == "Something happens. Something is done."


def test_a_line_names_thousands_of_cells() -> None:
    told = read_scenario(
        HEAD + "regions: {eu: {cells: 3}, us: {cells: 2000, size: 2}}\nfaults: []"
    )
    assert len(told.sites) == 2003
    assert [site.name for site in told.sites[:4]] == ["eu-001", "eu-002", "eu-003", "us-001"]
    assert [site.zone for site in told.sites[:4]] == ["eua", "eub", "euc", "usa"]
    assert told.sites[-1].name == "us-2000"
    assert told.cpus()[0] == 3.0
    assert told.cpus()[-1] == 6.0


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("cells: [us-002, eu-001]", ("us-002", "eu-001")),
        ("zone: eua", ("eu-001", "eu-003")),
        ("region: us", ("us-001", "us-002", "us-003")),
        ('version: "1.1"', ("eu-002", "eu-003")),
        ('version: "1.0", region: eu', ("eu-001", "eu-004")),
        ("count: 2", ("eu-001", "eu-002")),
        ("region: us, count: 2", ("us-001", "us-002")),
        ("region: eu, share: 0.3", ("eu-001", "eu-002")),
        ("share: 1", (*(f"eu-00{n}" for n in (1, 2, 3, 4)), *(f"us-00{n}" for n in (1, 2, 3)))),
        ("region: us, count: 9", ("us-001", "us-002", "us-003")),
    ],
)
def test_a_fault_finds_its_cells(line: str, names: tuple[str, ...]) -> None:
    assert cells_of(line) == names


def test_a_tenth_of_thirty_cells_is_three() -> None:
    assert len(cells_of("share: 0.1", HEAD + "regions: {eu: {cells: 30}}\n")) == 3


def test_every_word_about_a_fault_arrives() -> None:
    line = (
        "kind: slow_dependency, cells: [eu-1], at_s: 1, grows_s: 2, holds_s: 3, magnitude: 4, "
        "shape: sawtooth, recovery: never, period_s: 5, collected: 0.6, stagger_s: 7, "
        "request_class: search"
    )
    deploy = "kind: deploy, cells: [eu-2], at_s: 9, magnitude: 0, known_s: 8"
    surge = "kind: surge, origin: eu, at_s: 9, magnitude: 2"
    slow, new, more = read_scenario(HEAD + faults(line, deploy, surge)).faults
    assert (slow.kind, slow.shape, slow.recovery) == (
        Kind.SLOW_DEPENDENCY,
        Shape.SAWTOOTH,
        Recovery.NEVER,
    )
    assert (slow.at_s, slow.grows_s, slow.holds_s, slow.magnitude) == (1.0, 2.0, 3.0, 4.0)
    assert (slow.period_s, slow.collected, slow.stagger_s) == (5.0, 0.6, 7.0)
    assert (slow.request_class, slow.known_s) == ("search", None)
    assert (new.known_s, new.magnitude, new.holds_s) == (8.0, 0.0, math.inf)
    assert (more.origin, more.cells) == ("eu", ())


def test_classes_cells_load_and_telemetry_may_be_all_different() -> None:
    told = read_scenario(
        HEAD
        + """
classes:
  - name: pay
    share: 3
    priority: critical
    weight: 5
    objective_s: 0.2
    timeout_s: 1
    cpu_s: 0.01
    keyed: true
    dependency: bank
    dependency_s: 0.02
    writes: true
  - {name: look, share: 7, priority: sheddable, objective_s: 1, timeout_s: 1, cpu_s: 0.02}
cell: {cpus: 8, discipline: ps, restart_s: 20, service_cv: 1}
load: {utilisation: 0.5, origins: {eu: 3, us: 1}, client_retries: 2}
telemetry: {lag_s: 2, noise_ratio: 0.1, gap_ratio: 0.2}
latency_ms: {eu: {us: 80}}
sizes: {eu-1: 2}
proxies: 4
pace: 15
faults: []
"""
    )
    pay, look = told.offers
    assert (pay.request_class.priority, pay.request_class.is_keyed) == (Priority.CRITICAL, True)
    assert pay.request_class.dependencies == {"bank"}
    assert (pay.work.dependency_s, pay.work.writes, look.work.cpu_s) == (0.02, True, 0.02)
    assert told.default_class == "pay"
    assert (told.make.cpus, told.make.discipline) == (8, Discipline.PROCESSOR_SHARING)
    assert told.load.origins == {"eu": 0.75, "us": 0.25}
    assert (told.load.client_retries, told.proxies, told.pace) == (2, 4, 15.0)
    assert told.latency_ms == {("eu", "us"): 80.0}
    assert told.cpus()[:2] == (16.0, 8.0)
    assert told.telemetry == Telemetry(lag_s=2.0, noise_ratio=0.1, gap_ratio=0.2)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "must be a mapping of keys, is empty; try `foreshard lab new`"),
        ("name: [", "is not YAML"),
        (HEAD, "line 1, column 1: faults is missing: what befalls the fleet"),
        (HEAD + "colour: red\nfaults: []", "line 5, column 1: colour is unknown"),
        (HEAD + "fault: []\nfaults: []", "fault is unknown, did you mean faults?"),
        (HEAD + "name: other\nfaults: []", "name stands in line 1 already, keep one"),
        (
            HEAD.replace("sample", "My Scenario") + "faults: []",
            "line 1, column 1: name is 'My Scenario', must be lower-case letters, digits",
        ),
        (
            HEAD.replace("predictable", "sure") + "faults: []",
            "line 2, column 1: family is 'sure', must be 'predictable', 'unpredictable' or 'trap'",
        ),
        (
            HEAD + "warm_up_s: 600\nfaults: []",
            "line 5, column 1: warm_up_s leaves nothing to score: warm_up_s (600) must be less",
        ),
        (
            HEAD + "regions: {eu: {cells: 3, zons: 2}}\nfaults: []",
            "line 5, column 26: regions.eu.zons is unknown, did you mean zones?",
        ),
        (
            HEAD + "regions: {eu: {cells: 0}}\nfaults: []",
            "regions.eu.cells is 0, must be greater than or equal to 1",
        ),
        (
            HEAD + "regions: {eu: {cells: 20000}, us: {cells: 1}}\nfaults: []",
            "line 5, column 1: regions holds 20001 cells, a scenario has at most 20000",
        ),
        (HEAD + "load: {utilisation: yes}\nfaults: []", "utilisation is True, must be a number"),
        (HEAD + "sizes: {eu-9: 2}\nfaults: []", "sizes.eu-9 is 'eu-9', which is no cell"),
        (HEAD + "latency_ms: {mars: {eu: 2}}\nfaults: []", "is no origin of the load"),
        (HEAD + "latency_ms: {eu: {mars: 2}}\nfaults: []", "is no region with a cell"),
        (
            HEAD + "default_class: video\nfaults: []",
            "default_class is 'video', must be one of checkout, search, report",
        ),
        (
            HEAD + "classes:\n  - {name: a, share: 1, priority: high, objective_s: 1, "
            "timeout_s: 0.5, cpu_s: 0.1}\nfaults: []",
            "line 6, column 57: classes.0.timeout_s is 0.5, must be at least objective_s (1)",
        ),
        (
            HEAD + faults("kind: leek, count: 1, at_s: 5"),
            "line 6, column 6: faults.0.kind is 'leek', must be 'leak'",
        ),
        (HEAD + faults("kind: leak, cells: [eu-1]"), "faults.0.at_s is missing: seconds"),
        (
            HEAD + faults("kind: leak, at_s: 5"),
            "faults.0.kind is 'leak', which befalls cells: name cells, zone",
        ),
        (
            HEAD + faults("kind: leak, at_s: 5, cells: [eu-l]"),
            "line 6, column 27: faults.0.cells is 'eu-l', which is no cell; did you mean eu-3?",
        ),
        (
            HEAD + faults("kind: leak, at_s: 5, cells: [eu-1, eu-1]"),
            "names 'eu-1' twice, name it once",
        ),
        (HEAD + faults("kind: leak, at_s: 5, zone: eux"), "which is no zone of a cell"),
        (
            HEAD + faults("kind: leak, at_s: 5, zone: eua, region: us"),
            "faults.0.zone finds no cell together with region",
        ),
        (
            HEAD + faults("kind: leak, at_s: 5, cells: [eu-1], count: 1"),
            "faults.0.count is set beside cells; say whom by the one or by the other",
        ),
        (
            HEAD + faults("kind: leak, at_s: 5, count: 1, share: 0.5"),
            "faults.0.share is set beside count; keep one",
        ),
        (
            HEAD + faults("kind: creep, at_s: 5, count: 1"),
            "faults.0.kind is 'creep', which needs a magnitude, over 0 and at most 1",
        ),
        (
            HEAD + faults("kind: creep, at_s: 5, count: 1, magnitude: 40"),
            "faults.0.magnitude is 40, must be over 0 and at most 1 for a creep",
        ),
        (
            HEAD + faults("kind: surge, at_s: 5, magnitude: 2, region: eu"),
            "faults.0.region is set, but a surge befalls the demand and no cell",
        ),
        (
            HEAD + faults("kind: surge, at_s: 5, magnitude: 2, origin: us"),
            "faults.0.origin is 'us', must be one of load.origins: eu",
        ),
        (
            HEAD + faults("kind: leak, at_s: 5, count: 1, origin: eu"),
            "only a surge comes from somewhere",
        ),
        (
            HEAD + faults("kind: surge, at_s: 5, magnitude: 2, shape: load"),
            "faults.0.shape is 'load', but a surge serves nothing",
        ),
        (
            HEAD + faults("kind: errors, at_s: 5, count: 1, magnitude: 1, request_class: vid"),
            "request_class is 'vid', must be one of checkout, search, report",
        ),
        (
            HEAD + faults("kind: leak, at_s: 5, count: 1, request_class: search"),
            "request_class is set, but a leak befalls all classes alike",
        ),
        (
            HEAD + faults("kind: leak, at_s: 700, count: 1"),
            "faults.0.at_s is 700, after the end (duration_s is 600)",
        ),
        (
            HEAD + faults("kind: partition, at_s: 5, grows_s: 9, count: 1"),
            "faults.0.grows_s is 9, must be 0: there is no half of a partition",
        ),
        (
            HEAD + faults("kind: maintenance, at_s: 5, count: 1"),
            "which needs holds_s over 0: how long the host is off",
        ),
        (
            HEAD + faults("kind: maintenance, at_s: 5, holds_s: 9, known_s: 6, count: 1"),
            "faults.0.known_s is 6, must be at most at_s (5)",
        ),
        (
            HEAD + faults("kind: leak, at_s: 5, known_s: 3, count: 1"),
            "faults.0.known_s is set, but a leak is never announced",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_place_and_what_would_be_right(
    text: str, says: str
) -> None:
    assert says in refused(text), refused(text)


def test_every_error_is_told_at_once_in_the_order_of_the_file() -> None:
    said = refused(
        HEAD
        + "pace: 0\n"
        + faults(
            "kind: creep, at_s: -5, count: 1, magnitude: 40",
            "kind: leek, at_s: 1",
            "kind: surge, cells: [eu-1], at_s: 5",
        )
    ).splitlines()
    assert said[0] == "s.yaml: 6 to mend"
    lines = [int(line.split()[1].rstrip(",")) for line in said[1:]]
    assert lines == [5, 7, 7, 8, 9, 9]


def test_a_scenario_is_found_by_name_or_by_path(tmp_path: Path) -> None:
    assert load_scenario("keyed-leak").name == "keyed-leak"
    mine = tmp_path / "mine.yaml"
    mine.write_text(HEAD + "faults: []\n")
    assert load_scenario(str(mine)).name == "sample"
    with pytest.raises(ConfigError, match=r"neither a file nor shipped; there are bad-deploy, "):
        load_scenario("nothing-like-it")


def test_the_template_reads_back_and_its_proposals_do_too() -> None:
    text = template_of_scenario("first-try")
    told = read_scenario(text)
    assert told.name == "first-try"
    assert [fault.kind for fault in told.faults] == [Kind.LEAK]
    head, _, proposals = text.partition("Take the # away to make it worse:\n")
    worse = head + "\n" + "\n".join(f"  {line[4:]}" for line in proposals.splitlines())
    assert [fault.kind for fault in read_scenario(worse).faults] == [
        Kind.LEAK,
        Kind.SLOW_DEPENDENCY,
        Kind.SURGE,
        Kind.MAINTENANCE,
    ]


def test_every_key_of_the_template_has_a_comment_or_a_line_above_it() -> None:
    lines = template_of_scenario().splitlines()
    assert sum("#" in line for line in lines) * 3 > len(lines)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 30)
    | st.floats()
    | st.sampled_from(["", "eu", "eu-001", "eua", "leak", "surge", "load", "search"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(st.fixed_dictionaries({}, optional=dict.fromkeys(KEYS, VALUES)))
def test_the_rules_stand_any_values(values: dict[str, Any]) -> None:
    for found in scenario_contradictions(values):
        assert found.says


FAULT = st.fixed_dictionaries(
    {"kind": st.sampled_from([kind.value for kind in Kind])},
    optional=dict.fromkeys(
        (*TARGETS, "at_s", "grows_s", "holds_s", "magnitude", "known_s", "origin", "shape"),
        VALUES,
    ),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(FAULT, max_size=3))
def test_any_faults_end_in_a_scenario_or_in_a_refusal(told: list[dict[str, Any]]) -> None:
    text = yaml.safe_dump({**yaml.safe_load(HEAD), "faults": told})
    with suppress(ConfigError):
        assert len(read_scenario(text).faults) == len(told)
