"""This module is the per-request decision as a library: which cell, within a microsecond.

The answer for a key is the one that the Envoys of the same table give, so applications with and
without a proxy can share a fleet. A decision reads one attribute (the table as it is laid out)
and takes no lock; a new table is laid out aside and then put in its place in one assignment, so
every decision is made with one table, the old or the new. When no new table comes the last one
stands: a router that is cut off goes on.

Known limits: a library sees the requests of its own process only, so a free class is split by
share, where an Envoy would ask the less busy of two cells (decision 0002). It does not know that
a cell just died either: whoever calls must try the next one (`backups`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from xxhash import xxh64_intdigest

from foreshard.model.errors import InvalidValueError
from foreshard.model.routing import RETRY_AFTER_S, RoutingTable
from foreshard.model.topology import Cell
from foreshard.model.workload import RequestClass
from foreshard.router.answer import Answer, Batch, Nowhere, Refused
from foreshard.router.lane import Key
from foreshard.router.lanes import Lanes, Place, Turns

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["NO_TABLE", "Router"]

NO_TABLE = "the router has no table yet; give it one with swap(), or let it follow a Foreshard"


class Router:
    """Decides for each request; safe to share between threads.

    >>> from foreshard.model.routing import ClassRoute, RoutingTable, SlotRow, SlotRun
    >>> from foreshard.model.topology import Cell, Node
    >>> from foreshard.model.workload import Priority, RequestClass
    >>> cells = tuple(
    ...     Cell(name=n, region="eu", zone=n, nodes=(Node(host="10.0.0.1", port=80),))
    ...     for n in ("eu-1", "eu-2")
    ... )
    >>> checkout = RequestClass(
    ...     name="checkout",
    ...     priority=Priority.CRITICAL,
    ...     weight=1.0,
    ...     objective_s=0.5,
    ...     timeout_s=1.0,
    ...     key_header="x-customer",
    ... )
    >>> row = SlotRow(
    ...     runs=(SlotRun(owner="eu-1", length=3072), SlotRun(owner="eu-2", length=1024))
    ... )
    >>> router = Router(
    ...     RoutingTable(
    ...         version=1,
    ...         cells=cells,
    ...         classes=(ClassRoute(request_class=checkout, rows={"eu": row}, backups={}),),
    ...         default_class="checkout",
    ...     )
    ... )
    >>> router.route("checkout", "eu", "customer-7").name
    'eu-2'

    Args:
        table: To begin with; None = nowhere to go until there is one.
        retry_after_s: What those that are shed are told; the same as Envoys say.
        first_turn: At which number free requests begin to be counted. Processes that start
            together with the same one send their first request to the same cell; `os.getpid()`
            tells them apart.
    """

    def __init__(
        self,
        table: RoutingTable | None = None,
        *,
        retry_after_s: int = RETRY_AFTER_S,
        first_turn: int = 0,
    ) -> None:
        if retry_after_s < 0:
            raise InvalidValueError(f"retry_after_s is {retry_after_s}, must be 0 or more")
        self._refused = Refused(retry_after_s=retry_after_s)
        self._first_turn = first_turn
        self._turns: Turns = {}
        self._lanes: Lanes | None = None
        if table is not None:
            self.swap(table)

    @property
    def table(self) -> RoutingTable | None:
        """The one that is decided with."""
        lanes = self._lanes
        return None if lanes is None else lanes.table

    def swap(self, table: RoutingTable) -> None:
        """Decide with another table from now on.

        What was asked for under the table before is laid out first, by the caller's thread. For
        one writer at a time: of two the one that ends last stands.

        Args:
            table: Also one that is older: who feeds the router decides that.
        """
        if not isinstance(table, RoutingTable):
            raise InvalidValueError(
                f"table is {type(table).__name__}, must be a RoutingTable; the old one stands"
            )
        lanes = Lanes(table, self._refused, self._turns, first_turn=self._first_turn)
        if self._lanes is not None:
            lanes.take_over(self._lanes)
        self._lanes = lanes

    def route(self, request_class: str, origin: str, key: Key | None = None) -> Answer:
        """Where a request goes.

        Args:
            request_class: Its class; one that the table does not know is the default class.
            origin: Region it comes from; `resolve` says which row an unknown one gets.
            key: What its key header says: text (hashed as UTF-8) or bytes, or a tuple of bytes
                where the header was sent several times. None = it has none, and may go to any
                cell of the class, in proportion. A free class has no use for it.

        Returns:
            The cell; `Refused` where the plan sheds the request (for a keyed class, always the
            same keys); `Nowhere` where there is no plan for it.

        Raises:
            InvalidValueError: The key is neither text nor bytes, or a name is no text.
        """
        lanes = self._lanes
        if lanes is None:
            return Nowhere(because=NO_TABLE)
        try:
            lane = lanes[request_class, origin]
        except KeyError as error:
            return _no_row(lanes.table, error)
        if type(key) is str and lane.is_keyed:
            try:
                return lane.answers[lane.owner[xxh64_intdigest(key.encode()) & lane.mask]]
            except UnicodeEncodeError:
                """Said in words below."""
        return lane.pick(key)

    def route_many(
        self, request_class: str, origin: str, keys: NDArray[Any] | Sequence[Key | None]
    ) -> Batch | Nowhere:
        """Where many requests of one class go, all by one table.

        The first call compiles for some seconds; what was compiled is kept on the disk.

        Args:
            request_class: As in `route`.
            origin: As in `route`.
            keys: [n] text ("U") or bytes ("S") of one width are fastest; objects, or any sequence,
                are gone through one by one. NumPy ends a text of fixed width at its last
                character that is not zero. For a free class only their number counts.

        Raises:
            InvalidValueError: The keys are of another kind, or not one dimension.
        """
        # Here, since NumPy and Numba take longer to load than most applications have keys.
        from foreshard.router.batch import places_of  # noqa: PLC0415

        lanes = self._lanes
        if lanes is None:
            return Nowhere(because=NO_TABLE)
        try:
            lane = lanes[request_class, origin]
        except KeyError as error:
            return _no_row(lanes.table, error)
        places = places_of(lane, keys)
        return Batch(
            cells=lane.cells,
            index=places - lane.shed if lane.shed else places,
            retry_after_s=self._refused.retry_after_s,
            version=lanes.table.version,
        )

    def resolve(self, request_class: str, origin: str) -> Place | None:
        """The class and the origin of the row that answers; None = there is none.

        A class that the table does not know is its default class. A region that no class has a
        row for is the first region by name; a class without a row for a region that others have
        one for lends it that of its own first region. The Envoys of such a region are served
        the same.
        """
        lanes = self._lanes
        if lanes is None:
            return None
        try:
            return lanes.resolve(request_class, origin)
        except KeyError:
            return None

    def classify(
        self, method: str, path: str, headers: Mapping[str, str] | None = None
    ) -> RequestClass | None:
        """The class of a request, as the Envoys decide it; None = there is no table.

        Args:
            method: Of HTTP; POST for gRPC.
            path: As it was sent, escaped; for gRPC `/package.Service/Method`.
            headers: By lower-case name, several values of one joined by ","; None = none are
                known, and classes that ask for some match nothing.
        """
        lanes = self._lanes
        if lanes is None:
            return None
        return lanes.classify(method, path, {} if headers is None else headers)

    def backups(self, request_class: str, home: str) -> tuple[Cell, ...]:
        """Cells that may be asked when a cell does not answer, best first; () = none.

        Never one that residency forbids, or that lacks the data of the home cell's keys.

        Args:
            request_class: As in `route`.
            home: Name of the cell that was asked.
        """
        lanes = self._lanes
        return () if lanes is None else lanes.backups(request_class, home)


def _no_row(table: RoutingTable, error: KeyError) -> Nowhere:
    return Nowhere(because=f"class {error.args[0]} has no row in table {table.version}")
