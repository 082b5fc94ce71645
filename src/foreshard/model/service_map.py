"""This module is what dependencies need themselves: a map without circles.

A class that needs `pricing`, which needs `tax`, needs `tax`. In a circle nothing would tell whose
failure it was, so there must be none.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

__all__ = ["circle_in", "reached"]


def circle_in(needs: Mapping[str, Collection[str]]) -> tuple[str, ...]:
    """A way from a name back to itself, first name last again; () = there is none.

    >>> circle_in({"a": ["b"], "b": ["c"], "c": ["a"]})
    ('a', 'b', 'c', 'a')
    """
    done: set[str] = set()
    for start in sorted(needs):
        way: list[str] = []
        # Not recursive: a map may be a chain of thousands.
        branches: list[Iterator[str]] = [iter((start,))]
        while branches:
            name = next(branches[-1], None)
            if name is None:
                branches.pop()
                if way:
                    done.add(way.pop())
            elif name in way:
                return (*way[way.index(name) :], name)
            elif name not in done:
                way.append(name)
                branches.append(iter(sorted(needs.get(name, ()))))
    return ()


def reached(names: Collection[str], needs: Mapping[str, Collection[str]]) -> frozenset[str]:
    """The names, and whatever they need, and what that needs.

    >>> sorted(reached({"pricing"}, {"pricing": ["tax"], "tax": ["rates"]}))
    ['pricing', 'rates', 'tax']
    """
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(needs.get(name, ()))
    return frozenset(found)
