from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest
import yaml
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from foreshard.adapters.routing.envoy.bootstrap import bootstrap, bootstrap_text
from foreshard.adapters.routing.envoy.classification import classification
from foreshard.adapters.routing.envoy.endpoints import node_weights
from foreshard.adapters.routing.envoy.render import render
from foreshard.adapters.routing.envoy.resources import (
    CLUSTER_TYPE,
    ENDPOINT_TYPE,
    LISTENER_TYPE,
    ROUTE_TYPE,
    SCOPED_ROUTE_TYPE,
    Resources,
)
from foreshard.adapters.routing.envoy.settings import EnvoySettings
from foreshard.model.errors import InvalidValueError, SinkError
from foreshard.model.topology import Cell, Node
from foreshard.model.workload import Match, OwnedData
from tests.adapters.routing.envoy_tables import (
    CHECKOUT,
    REPORT,
    SEARCH,
    cells,
    free_route,
    keyed_route,
    table,
)

SETTINGS = EnvoySettings(listen_port=10_000)
FLEET = cells("eu-1", "eu-2", "us-1")


def as_json(resources: Resources) -> dict[str, dict[str, object]]:
    return {
        url.rsplit(".", 1)[-1]: {
            name: MessageToDict(message, preserving_proto_field_name=True)
            for name, message in sorted(by_name.items())
        }
        for url, by_name in resources.items()
    }


def rendered(*, origin: str = "eu") -> Resources:
    return render(table(FLEET), origin=origin, settings=SETTINGS)


def changed(before: Resources, after: Resources) -> set[tuple[str, str]]:
    return {
        (url, name)
        for url, by_name in after.items()
        for name, message in by_name.items()
        if before[url].get(name) != message
    }


def told(resources: Resources, cluster: str) -> Mapping[str, int]:
    assignment: Message = resources[ENDPOINT_TYPE][cluster]
    return {
        locality["locality"]["sub_zone"]: locality["lb_endpoints"][0]["load_balancing_weight"]
        for locality in MessageToDict(assignment, preserving_proto_field_name=True)["endpoints"]
    }


def test_a_table_looks_to_envoy_as_in_the_golden_file(
    golden: Callable[[str, str], None],
) -> None:
    runs = [("eu-1", 1024), ("us-1", 512), ("", 512), ("eu-2", 1024), ("eu-1", 1024)]
    shop = table(
        FLEET,
        keyed_route(CHECKOUT, runs, FLEET),
        free_route(SEARCH, {"eu-1": 40, "eu-2": 40, "us-1": 20}),
        free_route(REPORT, {"eu-1": 30, "us-1": 30}, shed=40),
    )
    resources = render(
        shop, origin="eu", settings=replace(SETTINGS, served_by_header="x-served-by")
    )
    golden("envoy/table.json", json.dumps(as_json(resources), indent=1, sort_keys=True) + "\n")


def test_a_bootstrap_looks_to_envoy_as_in_the_golden_file(
    golden: Callable[[str, str], None],
) -> None:
    text = bootstrap_text(
        node_id="edge-eu",
        region="eu",
        zone="eua",
        discovery=("127.0.0.1", 18_000),
        admin=("127.0.0.1", 9_901),
    )
    golden("envoy/bootstrap.yaml", text)


def test_a_bootstrap_with_a_relay_looks_to_envoy_as_in_the_golden_file(
    golden: Callable[[str, str], None],
) -> None:
    text = bootstrap_text(
        node_id="edge-eu",
        region="eu",
        zone="eua",
        discovery=("192.0.2.7", 18_000),
        admin=("127.0.0.1", 9_901),
        relay=("127.0.0.1", 18_001),
    )
    golden("envoy/bootstrap_with_relay.yaml", text)


def test_a_bootstrap_may_ask_for_the_state_of_the_world() -> None:
    values = bootstrap(
        node_id="n",
        region="eu",
        zone="a",
        discovery=("127.0.0.1", 1),
        admin=("127.0.0.1", 0),
        is_incremental=False,
    )
    assert "DELTA" not in yaml.safe_dump(values)


def test_every_cluster_that_a_route_names_is_rendered_with_its_endpoints() -> None:
    resources = rendered()
    text = json.dumps(as_json({ROUTE_TYPE: resources[ROUTE_TYPE]}))
    named = {word for word in text.split('"') if word.startswith(("free/", "keyed/"))}
    assert named
    assert named <= resources[CLUSTER_TYPE].keys()
    assert resources[CLUSTER_TYPE].keys() == resources[ENDPOINT_TYPE].keys()
    assert resources[SCOPED_ROUTE_TYPE].keys() == resources[ROUTE_TYPE].keys()


def test_new_weights_of_a_free_class_change_its_endpoints_only() -> None:
    moved = table(
        FLEET,
        *table(FLEET).classes[:2],
        free_route(REPORT, {"eu-1": 1, "eu-2": 2, "us-1": 1}),
    )
    after = render(moved, origin="eu", settings=SETTINGS)
    assert changed(rendered(), after) == {(ENDPOINT_TYPE, "free/report")}


def test_new_slots_of_a_keyed_class_change_its_route_table_only() -> None:
    moved = table(FLEET, keyed_route(CHECKOUT, [("eu-1", 4096)], FLEET), *table(FLEET).classes[1:])
    after = render(moved, origin="eu", settings=SETTINGS)
    assert changed(rendered(), after) == {(ROUTE_TYPE, "checkout")}


def test_a_plan_never_touches_the_listener() -> None:
    moved = table(
        FLEET,
        keyed_route(CHECKOUT, [("eu-1", 4000), ("", 96)], FLEET),
        free_route(SEARCH, {"us-1": 1}, shed=7),
        free_route(REPORT, {"eu-2": 1}, shed=7),
    )
    after = render(moved, origin="eu", settings=SETTINGS)
    assert after[LISTENER_TYPE] == rendered()[LISTENER_TYPE]


def test_a_free_cell_without_weight_is_left_out() -> None:
    route = free_route(SEARCH, {"eu-1": 5, "us-1": 5})
    resources = render(table(FLEET, route), origin="eu", settings=SETTINGS)
    assert told(resources, "free/search").keys() == {"eu-1", "us-1"}


def test_residency_keeps_keyed_clusters_at_home() -> None:
    local = replace(CHECKOUT, regions=frozenset({"eu"}))
    europe = FLEET[:2]
    route = keyed_route(local, [("eu-1", 2048), ("eu-2", 2048)], europe)
    resources = render(table(FLEET, route), origin="eu", settings=SETTINGS)
    assert resources[CLUSTER_TYPE].keys() == {"keyed/checkout/eu-1", "keyed/checkout/eu-2"}


def test_a_backup_abroad_is_refused_by_name() -> None:
    local = replace(CHECKOUT, regions=frozenset({"eu"}))
    route = keyed_route(local, [("eu-1", 4096)], FLEET)
    with pytest.raises(SinkError, match=r"checkout: backups \['us-1'\] of eu-1"):
        render(table(FLEET, route), origin="eu", settings=SETTINGS)


def test_what_may_not_leave_its_region_has_no_cluster_and_no_backup_abroad() -> None:
    stays = replace(CHECKOUT, residency={"eu": frozenset({"eu"})})
    route = keyed_route(stays, [("eu-1", 2048), ("eu-2", 2048)], FLEET)
    at_home = render(table(FLEET, route), origin="eu", settings=SETTINGS)
    assert at_home[CLUSTER_TYPE].keys() == {"keyed/checkout/eu-1", "keyed/checkout/eu-2"}
    assert told(at_home, "keyed/checkout/eu-1").keys() == {"eu-1", "eu-2"}
    elsewhere = render(table(FLEET, route), origin="us", settings=SETTINGS)
    assert "us-1" in told(elsewhere, "keyed/checkout/eu-1")


def test_a_row_that_leads_abroad_is_refused_by_name() -> None:
    stays = replace(SEARCH, residency={"eu": frozenset({"eu"})})
    route = free_route(stays, {"eu-1": 5, "us-1": 5})
    with pytest.raises(SinkError, match=r"search: what comes from eu would go to \['us-1'\]"):
        render(table(FLEET, route), origin="eu", settings=SETTINGS)
    assert render(table(FLEET, route), origin="us", settings=SETTINGS)


def test_a_backup_that_is_no_cell_is_refused_by_name() -> None:
    route = keyed_route(CHECKOUT, [("eu-1", 4096)], cells("eu-1", "eu-9"))
    with pytest.raises(SinkError, match=r"\['eu-9'\] of eu-1"):
        render(table(FLEET, route), origin="eu", settings=SETTINGS)


def test_an_origin_without_a_row_is_refused_by_name() -> None:
    with pytest.raises(SinkError, match=r"checkout: no row for origin 'ap', it has eu, us"):
        rendered(origin="ap")


def test_a_host_name_is_refused_as_endpoint() -> None:
    named = Cell(name="eu-1", region="eu", zone="a", nodes=(Node(host="cell.test", port=80),))
    with pytest.raises(SinkError, match=r"cell eu-1: node 'cell\.test' is not an IP address"):
        render(table((named,), free_route(SEARCH, {"eu-1": 1})), origin="eu", settings=SETTINGS)


def test_weights_that_do_not_fit_are_refused_by_name() -> None:
    route = free_route(SEARCH, {"eu-1": 2**32 - 1}, shed=1)
    with pytest.raises(SinkError, match=r"class search: weights sum to 4294967296"):
        render(table(FLEET, route), origin="eu", settings=SETTINGS)


def test_a_bad_setting_is_refused_with_its_value() -> None:
    with pytest.raises(InvalidValueError, match="listen_port is 0"):
        EnvoySettings(listen_port=0)
    with pytest.raises(InvalidValueError, match="class_header is 'X-Class'"):
        EnvoySettings(listen_port=1, class_header="X-Class")
    with pytest.raises(InvalidValueError, match=r"active_request_bias is -1\.0"):
        EnvoySettings(listen_port=1, active_request_bias=-1.0)


WEIGHTS = st.dictionaries(
    st.sampled_from([f"eu-{i}" for i in range(8)]), st.integers(1, 10_000), min_size=1
)


@given(WEIGHTS)
def test_equal_cells_get_equal_weights_and_a_larger_share_never_a_smaller_one(
    weights: dict[str, int],
) -> None:
    total = sum(weights.values())
    told = node_weights({c: w / total for c, w in weights.items()}, SETTINGS)
    ranked = sorted(weights, key=lambda cell: weights[cell])
    assert all(told[a] <= told[b] for a, b in itertools.pairwise(ranked))
    assert all(told[a] == told[b] for a in weights for b in weights if weights[a] == weights[b])
    assert min(told.values()) >= 1


@given(WEIGHTS)
def test_without_bias_a_node_is_told_its_plain_share(weights: dict[str, int]) -> None:
    total = sum(weights.values())
    plain = replace(SETTINGS, active_request_bias=0.0)
    told = node_weights({c: w / total for c, w in weights.items()}, plain)
    largest = max(weights, key=lambda cell: weights[cell])
    for cell, weight in weights.items():
        assert told[cell] / told[largest] == pytest.approx(weight / weights[largest], abs=1e-5)


@given(WEIGHTS)
def test_weights_hold_the_planned_shares_in_balance(weights: dict[str, int]) -> None:
    """At the expected number in flight, the schedule's fixed point is the plan."""
    total = sum(weights.values())
    shares = {c: w / total for c, w in weights.items()}
    told = node_weights(shares, SETTINGS)
    n, bias = SETTINGS.expected_in_flight, SETTINGS.active_request_bias
    rate = {c: told[c] / (shares[c] * n + 1.0) ** bias for c in weights}
    whole = sum(rate.values())
    for cell, share in shares.items():
        assert rate[cell] / whole == pytest.approx(share, rel=1e-2, abs=1e-4)


def test_the_nodes_of_a_cell_share_its_weight() -> None:
    small, large = cells("eu-1")[0], replace(cells("eu-2", nodes=4)[0])
    route = free_route(SEARCH, {"eu-1": 1, "eu-2": 4})
    resources = render(table((small, large), route), origin="eu", settings=SETTINGS)
    assert len(set(told(resources, "free/search").values())) == 1


def test_a_backup_that_has_no_data_is_refused_and_replicas_are_all_there_is() -> None:
    fleet = cells("eu-1", "eu-2", "eu-3")
    owning = replace(CHECKOUT, data=OwnedData(replicas={"eu-1": ("eu-3",)}))
    route = keyed_route(owning, [("eu-1", 4096)], fleet)
    with pytest.raises(SinkError, match=r"backups \['eu-2'\] of eu-1 are none of its replicas"):
        render(table(fleet, route), origin="eu", settings=SETTINGS)
    declared = replace(route, backups={"eu-1": ("eu-3",)})
    made = render(table(fleet, declared), origin="eu", settings=SETTINGS)
    told = MessageToDict(made[ENDPOINT_TYPE]["keyed/checkout/eu-1"])["endpoints"]
    there = [(part["locality"]["subZone"], part.get("priority", 0)) for part in told]
    assert there == [("eu-1", 0), ("eu-3", 1)]


@pytest.mark.parametrize(
    "matches",
    [
        [Match(path_prefix=f"/service-{n:03}/orders") for n in range(500)],
        [Match(headers={"x-tenant": f"{n}-" + "\u00e9" * 300}) for n in range(40)],
        [Match(path_template="/" + "+" * 1_190)],
    ],
    ids=["paths", "headers", "one long"],
)
def test_no_expression_is_longer_than_envoy_takes_and_no_class_is_lost(
    matches: list[Match],
) -> None:
    classes = [replace(SEARCH, name=f"c{n}", match=match) for n, match in enumerate(matches)]
    routes = [free_route(each, {"eu-1": 1}) for each in classes]
    made = classification(table(cells("eu-1"), *routes), header="x-class")
    values = [each.append.header.value for each in made.mutations if each.HasField("append")]
    assert max(len(value.encode()) for value in values) <= 16_384
    assert all(any(f"'{each.name}'" in value for value in values) for each in classes)
