"""This module is how the edge decides a request's class, before any route is looked up.

Scoped routes choose a route table by the class header, and Envoy looks it up before its first
HTTP filter runs. So the header is written even earlier, by header mutation of the connection
manager (after the path was normalised): one CEL expression tries the classes in the table's
order, and overwrites whatever came from outside. No filter, no second route look-up.
Measured on Envoy 1.40, cpu per request: no class 9.4-12.5 us, 3 classes 10.6-11.2, 40 classes
one after the other 26; Lua 11.9-15. Beyond 16 classes a tree over the starts of their paths asks
only those that may match. What does not fit into one expression, in length (some 150 classes) or
in depth (classes that are told apart by headers alone), takes several, one after the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from envoy.config.common.mutation_rules.v3.mutation_rules_pb2 import HeaderMutation
from envoy.config.core.v3.base_pb2 import HeaderValue, HeaderValueOption
from envoy.extensions.http.early_header_mutation.header_mutation.v3 import header_mutation_pb2
from envoy.type.matcher.v3.string_pb2 import StringMatcher

from foreshard.adapters.routing.envoy.decision_tree import Fork, Leaf, decision_tree, questions
from foreshard.model.routing import RoutingTable
from foreshard.model.workload import Match, RequestClass

__all__ = ["classification"]

# CEL as Envoy has it refuses an expression nested more than 32 deep; `a ? x : b ? y : z` nests.
CLASSES_AN_EXPRESSION = 16
# The same bound for a tree; and Envoy takes no value of a header that is longer than 16,384 bytes.
QUESTIONS, CHARACTERS = 24, 16_000
PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/_-.~")


def classification(table: RoutingTable, *, header: str) -> header_mutation_pb2.HeaderMutation:
    """Mutations that set the class header, and drop Envoy's own control headers.

    A client must not choose its timeout or its retries by `x-envoy-...` headers either.
    """
    classes = [route.request_class for route in table.classes]
    own_headers = HeaderMutation.RemoveOnMatch(key_matcher=StringMatcher(prefix="x-envoy-"))
    return header_mutation_pb2.HeaderMutation(
        mutations=[
            HeaderMutation(remove_on_match=own_headers),
            HeaderMutation(remove=header),
            *(_add(header, f"%CEL({expression})%") for expression in _expressions(classes)),
            _add(header, table.default_class),
        ]
    )


def _add(header: str, value: str) -> HeaderMutation:
    return HeaderMutation(
        append=HeaderValueOption(
            header=HeaderValue(key=header, value=value),
            append_action=HeaderValueOption.ADD_IF_ABSENT,
        )
    )


def _expressions(classes: Sequence[RequestClass]) -> Iterator[str]:
    """Each names the first of its classes that matches, or nothing."""
    whole = _whole(classes)
    if len(classes) == 1 or (whole and len(whole) <= CHARACTERS):
        yield whole
        return
    half = len(classes) // 2
    yield from _expressions(classes[:half])
    yield from _expressions(classes[half:])


def _whole(classes: Sequence[RequestClass]) -> str:
    """All of them in one expression; "" = it would be nested too deep."""
    if len(classes) <= CLASSES_AN_EXPRESSION:
        return _chain(classes)
    tree = decision_tree([_start(each.match) for each in classes])
    return _branch(tree, classes) if questions(tree) <= QUESTIONS else ""


def _chain(classes: Iterable[RequestClass]) -> str:
    return " : ".join([*(f"{_test(c.match)} ? {_quoted(c.name)}" for c in classes), "''"])


def _branch(tree: Fork | Leaf, classes: Sequence[RequestClass]) -> str:
    if isinstance(tree, Leaf):
        return _chain(classes[number] for number in tree.may_match)
    before, after = _branch(tree.before, classes), _branch(tree.after, classes)
    # The last part needs no brackets, and each would nest one deeper.
    return f"request.url_path < {_quoted(tree.bound)} ? ({before}) : {after}"


def _start(match: Match) -> str:
    """What every path of it begins with."""
    if match.grpc_method:
        return f"/{match.grpc_method}"
    return match.path_prefix or match.path_template.partition("{")[0]


def _test(match: Match) -> str:
    tests = []
    if match.method:
        tests.append(f"request.method == {_quoted(match.method)}")
    if match.path_prefix:
        tests.append(f"request.url_path.startsWith({_quoted(match.path_prefix)})")
    if match.path_template:
        tests.append(f"request.url_path.matches({_quoted(_pattern(match.path_template))})")
    if match.grpc_method:
        tests += _grpc_tests(match.grpc_method)
    tests += [test for name, value in match.headers.items() for test in _carries(name, value)]
    return " && ".join(tests) or "true"


def _grpc_tests(method: str) -> list[str]:
    there = _quoted(f"/{method}" if "/" in method else f"/{method}/")
    is_it = f"== {there}" if "/" in method else f".startsWith({there})"
    kind = "'content-type'"
    return [
        "request.method == 'POST'",
        f"request.url_path{is_it}" if is_it.startswith(".") else f"request.url_path {is_it}",
        f"{kind} in request.headers && request.headers[{kind}].startsWith('application/grpc')",
    ]


def _carries(name: str, value: str) -> list[str]:
    """Asked for first: what is not there cannot be compared."""
    there = [f"{_quoted(name)} in request.headers"]
    return [*there, f"request.headers[{_quoted(name)}] == {_quoted(value)}"] if value else there


def _pattern(template: str) -> str:
    """As RE2 reads it; `matches` finds it anywhere, so both ends are named."""
    parts = ["[^/]+" if part.startswith("{") else re.escape(part) for part in template.split("/")]
    return f"^{'/'.join(parts)}$"


def _quoted(text: str) -> str:
    """A CEL string in which nothing can end the string or the `%CEL(...)%` around it."""
    return "'" + "".join(c if c in PLAIN else f"\\u{ord(c):04x}" for c in text) + "'"
