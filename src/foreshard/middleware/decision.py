"""This module is what middleware decides of one request, whatever protocol it came by."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from foreshard.model.topology import Cell
from foreshard.model.workload import RequestClass
from foreshard.router import Nowhere, Refused, Router
from foreshard.router.lane import Key
from foreshard.router.router import NO_TABLE

__all__ = ["Routed", "decide"]

Headers = Callable[[str], Sequence[bytes]]
"""All values of a header, whose name is in lower case; () = it was not sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Routed:
    """A request and its cell.

    Attributes:
        request_class: What it is.
        cell: Where it goes.
        backups: Where it may go when that one does not answer, best first; a request that must
            not be sent twice only if it was not sent.
    """

    request_class: RequestClass
    cell: Cell
    backups: tuple[Cell, ...]


def decide(
    router: Router, *, origin: str, method: str, path: str, headers: Headers
) -> Routed | Refused | Nowhere:
    """A request's class, from what it asks for, and then its cell, from its key.

    Args:
        router: Decides.
        origin: Region that it comes from.
        method: Of HTTP.
        path: As it was sent.
        headers: Of it.
    """
    request_class = router.classify(method, path, _Named(headers))
    if request_class is None:
        return Nowhere(because=NO_TABLE)
    values = tuple(headers(request_class.key_header.lower())) if request_class.is_keyed else ()
    key: Key | None = values[0] if len(values) == 1 else values or None
    answer = router.route(request_class.name, origin, key)
    match answer:
        case Cell():
            backups = router.backups(request_class.name, answer.name)
            return Routed(request_class=request_class, cell=answer, backups=backups)
        case _:
            return answer


class _Named(Mapping[str, str]):
    """Headers as a match asks for them: one text a name, as Envoy joins them."""

    def __init__(self, headers: Headers) -> None:
        self._headers = headers

    def __getitem__(self, name: str) -> str:
        values = [value.decode("latin-1") for value in self._headers(name)]
        if not values:
            raise KeyError(name)
        return ",".join(values)

    def __iter__(self) -> Iterator[str]:
        # A match names what it looks for.
        return iter(())

    def __len__(self) -> int:
        return 0
