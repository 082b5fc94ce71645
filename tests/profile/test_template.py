from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreshard.model.errors import InvalidValueError
from foreshard.model.sighting import Sighting
from foreshard.profile.template import (
    MOST_SHAPES,
    Atlas,
    endpoints,
    take_sightings,
    template_of,
)


def seen(*paths: str, method: str = "GET", requests: float = 1.0) -> list[Sighting]:
    return [Sighting(method=method, path=path, requests=requests) for path in paths]


def atlas_of(*sightings: Sighting) -> Atlas:
    return take_sightings(Atlas(), sightings, now_s=0.0)


def templates(atlas: Atlas) -> set[str]:
    return {"/" + "/".join(shape) for _, shape in atlas.shapes}


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/users/123", "/users/{id}"),
        ("/users/456?x=1", "/users/{id}"),
        ("/orders/ord-1723/items/4", "/orders/{id}/items/{id}"),
        ("/a/123e4567-e89b-12d3-a456-426614174000", "/a/{uuid}"),
        ("/blob/9f86d081884c7d659a2feaa0c55ad015", "/blob/{hash}"),
        ("/day/2026-11-28", "/day/{date}"),
        ("/mail/ada@example.org", "/mail/{address}"),
        ("/t/eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9", "/t/{token}"),
        ("/v1/search", "/v1/search"),
        ("/api/v2/checkout", "/api/v2/checkout"),
        ("/", "/"),
    ],
)
def test_what_looks_like_an_identifier_is_one(path: str, template: str) -> None:
    assert template_of(Atlas(), "get", path) == template


def test_many_words_in_one_place_are_values_and_a_frequent_one_stays() -> None:
    names = [f"/users/{a}{b}" for a in "abcdefgh" for b in ("lice", "ob", "arol")]
    atlas = atlas_of(*seen(*names), *seen("/users/me", requests=40.0))
    assert templates(atlas) == {"/users/{name}", "/users/me"}
    assert template_of(atlas, "GET", "/users/zoe") == "/users/{name}"
    assert template_of(atlas, "GET", "/users/me") == "/users/me"


def test_a_few_routes_that_are_all_used_stay_apart() -> None:
    routes = ["/cart", "/checkout", "/search", "/report", "/login", "/logout", "/health"]
    atlas = atlas_of(*seen(*routes, requests=500.0))
    assert templates(atlas) == set(routes)


def test_words_with_the_same_paths_below_are_values() -> None:
    colours, beasts = ("red", "blue", "green", "pink"), ("fox", "owl", "cat", "yak", "emu")
    names = [colour + beast for colour in colours for beast in beasts]
    paths = [f"/teams/{name}/{below}" for name in names for below in ("board", "members")]
    assert templates(atlas_of(*seen(*paths, requests=90.0))) == {
        "/teams/{name}/board",
        "/teams/{name}/members",
    }


def test_collections_of_one_api_stay_apart_though_they_look_alike() -> None:
    names = ["orders", "users", "carts", "items", "stores", "returns", "labels", "teams"]
    paths = [f"/api/{name}/{i}" for name in names for i in range(5)]
    assert templates(atlas_of(*seen(*paths, requests=90.0))) == {f"/api/{n}/{{id}}" for n in names}


def test_methods_are_endpoints_of_their_own() -> None:
    atlas = atlas_of(*seen("/users/1", requests=60.0), *seen("/users/2", method="put"))
    found = endpoints(atlas, now_s=600.0, least_confidence=0.0)
    assert {(e.method, e.template) for e in found} == {
        ("GET", "/users/{id}"),
        ("PUT", "/users/{id}"),
    }


def test_a_new_endpoint_is_believed_within_minutes() -> None:
    atlas = Atlas()
    for t in range(120):
        atlas = take_sightings(atlas, seen(f"/export/{t}"), now_s=float(t))
        if t == 5:
            assert endpoints(atlas, now_s=5.0) == ()
    (export,) = endpoints(atlas, now_s=120.0)
    assert export.template == "/export/{id}"
    assert export.confidence > 0.8
    assert "120 requests in 120 s" in export.evidence


def test_a_flood_of_paths_is_bounded() -> None:
    rng = random.Random(3)
    letters = "abcdefghijklmnopqrstuvwxyz"
    atlas = Atlas()
    for t in range(20):
        paths = [
            "/" + "/".join("".join(rng.choices(letters, k=4)) for _ in range(rng.randint(1, 6)))
            for _ in range(500)
        ]
        atlas = take_sightings(atlas, seen(*paths), now_s=float(t))
    assert len(atlas.shapes) <= MOST_SHAPES


@given(st.lists(st.text(min_size=1, max_size=30), max_size=20))
def test_a_template_is_its_own_template_and_no_path_is_refused(parts: list[str]) -> None:
    path = "/" + "/".join(parts)
    template = template_of(Atlas(), "GET", path)
    assert template.startswith("/")
    assert take_sightings(Atlas(), seen(path), now_s=0.0).shapes


def test_requests_are_neither_lost_nor_invented_by_folding() -> None:
    paths = [f"/p/{a}{b}{c}/x" for a in "abcde" for b in "fghij" for c in "klm"]
    atlas = atlas_of(*seen(*paths, requests=2.0))
    assert sum(s.requests for s in atlas.shapes.values()) == 2.0 * len(paths)
    assert len(atlas.shapes) == 1


def test_bad_sightings_are_refused() -> None:
    with pytest.raises(InvalidValueError, match="'users'"):
        Sighting(method="GET", path="users")
    with pytest.raises(InvalidValueError, match="requests is 0"):
        Sighting(method="GET", path="/", requests=0)
