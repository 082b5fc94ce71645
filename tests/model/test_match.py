"""What a match takes, and which matches take all that another does."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreshard.model.errors import InvalidValueError
from foreshard.model.workload import Match

PARTS = st.sampled_from(["", "a", "b", "{x}"])
PATHS = st.lists(st.sampled_from(["", "a", "b", "c"]), min_size=1, max_size=3).map(
    lambda parts: "/" + "/".join(parts)
)
TEMPLATES = st.lists(PARTS, min_size=1, max_size=3).map(lambda parts: "/" + "/".join(parts))
HEADERS = st.dictionaries(st.sampled_from(["x", "y"]), st.sampled_from(["", "1"]), max_size=2)
METHODS = st.sampled_from(["", "GET", "POST"])
GRPC = st.sampled_from(["a.B", "a.B/C", "a.B/D", "a.BC"])
MATCHES = st.one_of(
    st.builds(Match, method=METHODS, path_prefix=PATHS | st.just(""), headers=HEADERS),
    st.builds(Match, method=METHODS, path_template=TEMPLATES, headers=HEADERS),
    st.builds(Match, grpc_method=GRPC, headers=HEADERS),
)
REQUESTS = st.tuples(
    st.sampled_from(["GET", "POST"]),
    PATHS | st.sampled_from(["/a.B/C", "/a.B/D", "/a.BC/D"]),
    st.dictionaries(st.sampled_from(["x", "y"]), st.sampled_from(["", "1", "2"]))
    | st.just({"content-type": "application/grpc"}),
)


@given(wide=MATCHES, narrow=MATCHES, request=REQUESTS)
def test_whatever_a_covered_match_takes_the_one_that_covers_it_takes_too(
    wide: Match, narrow: Match, request: tuple[str, str, dict[str, str]]
) -> None:
    if wide.covers(narrow) and narrow.takes(*request):
        assert wide.takes(*request)


@given(match=MATCHES)
def test_a_match_covers_itself_and_the_empty_one_covers_all(match: Match) -> None:
    assert match.covers(match)
    assert Match().covers(match)


def test_a_template_covers_the_paths_and_templates_that_fit_it() -> None:
    users = Match(path_template="/users/{id}")
    assert users.covers(Match(path_template="/users/me"))
    assert not users.covers(Match(path_prefix="/users/"))
    assert Match(path_prefix="/users").covers(users)
    assert users.takes("GET", "/users/7", {})
    assert not users.takes("GET", "/users/", {})


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"path_template": "/a/x{b}"}, "'x{b}' in it"),
        ({"path_template": "a"}, "must start with '/'"),
        ({"grpc_method": "/a.B/C"}, "package.Service/Method"),
        ({"grpc_method": "a.B", "method": "GET"}, "always sent by POST"),
        ({"headers": {"X-Tier": "1"}}, "lower case"),
        ({"path_prefix": "/" + "x" * 2_000}, "has 2001 characters, must have at most 1200"),
    ],
)
def test_a_match_that_means_nothing_is_refused(given: dict[str, object], says: str) -> None:
    with pytest.raises(InvalidValueError, match=re.escape(says)):
        Match(**given)  # type: ignore[arg-type]
