"""The tree over starts of paths: never another class than asking all in turn."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from foreshard.adapters.routing.envoy.decision_tree import (
    FEW,
    Fork,
    Leaf,
    decision_tree,
    questions,
)

TEXTS = st.text(st.sampled_from("/ab~\x7f\ud7ff\ue000\U0010ffff"), max_size=4)


def found(tree: Fork | Leaf, path: str) -> tuple[int, ...]:
    while isinstance(tree, Fork):
        tree = tree.before if path < tree.bound else tree.after
    return tree.may_match


@given(starts=st.lists(TEXTS, max_size=30), path=TEXTS)
@example(starts=["/\U0010ffff", "/"], path="/\U0010ffffa")
def test_who_may_match_a_path_are_those_whose_start_it_has(starts: list[str], path: str) -> None:
    expected = tuple(n for n, start in enumerate(starts) if path.startswith(start))
    asked = found(decision_tree(starts), path)
    assert list(asked) == sorted(set(asked))
    assert set(asked) >= set(expected)
    assert len(asked) <= max(FEW, len(expected))


def test_the_way_is_short_where_starts_differ() -> None:
    assert questions(decision_tree([f"/service-{n:03}/" for n in range(500)] + [""])) <= 15
