"""This module is the metric history of the fleet on the disk, as its one writer sees it.

Every step is published at once as a small segment; an hour of them is then made one, so that a
kill costs at most the step that was under way, and a month is some hundred files. What is older
than is wished for goes, and the oldest goes where all together would be too large.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from foreshard.adapters.store import segment
from foreshard.adapters.store.segment import SUFFIX, Named, Rows, named
from foreshard.model.errors import StoreError
from foreshard.ports import StepTable

__all__ = ["Keep", "SegmentFiles", "segments_in", "spans_of"]

# Steps that are made one file.
MERGED = 60
# Files that a reader takes together.
AT_ONCE_S = 6 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """What is kept.

    Attributes:
        for_s: How long.
        most_bytes: All segments together.
    """

    for_s: float
    most_bytes: int


class SegmentFiles:
    """The segments of one directory; one process writes.

    Args:
        directory: Made when it is missing.
        keep: What is kept.
    """

    def __init__(self, directory: Path, keep: Keep) -> None:
        self._directory = directory
        self._keep = keep

    def publish(self, step: StepTable) -> None:
        """Keep one step, make older ones one file, drop what is too old or too much.

        Raises:
            StoreError: The disk refuses; what was kept before still is.
        """
        segment.write(self._directory, _rows_of(step))
        try:
            found = sorted(segments_in(self._directory), key=lambda each: each.first_s)
            single = [e for e in found if e.first_s == e.last_s and e.step_s == step.step_s]
            if len(single) >= MERGED:
                self._merge(single[:MERGED])
            self._drop()
        except OSError as error:
            raise StoreError(f"history {self._directory}: {error}") from error

    def _merge(self, files: list[Named]) -> None:
        try:
            segment.write(self._directory, segment.read(files))
        except StoreError:
            # A reader says why one is of no use; it must not stand in the way for ever.
            for each in files:
                if not _is_sound(each):
                    each.path.rename(each.path.with_suffix(".refused"))
            raise
        for each in files:
            each.path.unlink(missing_ok=True)

    def _drop(self) -> None:
        found = sorted(segments_in(self._directory), key=lambda each: each.last_s)
        if not found:
            return
        sizes = {each.path: each.path.stat().st_size for each in found}
        excess = sum(sizes.values()) - self._keep.most_bytes
        for each in found[:-1]:
            if excess > 0 or each.last_s < found[-1].last_s - self._keep.for_s:
                excess -= sizes[each.path]
                each.path.unlink(missing_ok=True)


def segments_in(
    directory: Path, *, refused: Callable[[str], None] = lambda _: None
) -> tuple[Named, ...]:
    """The segments of a directory, oldest first.

    Args:
        directory: Where they lie; one that is not there holds none.
        refused: Told of each file that is none of ours.
    """
    found = []
    for path in directory.glob(f"*{SUFFIX}"):
        try:
            found.append(named(path))
        except StoreError as error:
            refused(str(error))
    return tuple(sorted(found, key=lambda each: (each.last_s, each.first_s, each.path.name)))


def spans_of(
    files: tuple[Named, ...], *, refused: Callable[[str], None] = lambda _: None
) -> Iterator[Rows]:
    """The rows of segments, some hours at a time, in the order of time.

    Args:
        files: As `segments_in` gives them.
        refused: Told why a file is skipped: damaged, foreign, newer, or gone meanwhile.
    """
    group: list[Named] = []
    for each in files:
        if group and (
            each.last_s - group[0].first_s > AT_ONCE_S or each.step_s != group[0].step_s
        ):
            yield from _sound(group, refused)
            group = []
        group.append(each)
    if group:
        yield from _sound(group, refused)


def _rows_of(step: StepTable) -> Rows:
    count = len(step.cells)
    return Rows(
        step_s=step.step_s,
        cells=step.cells,
        cell=np.arange(count),
        time_s=np.full(count, step.ends_s),
        gauges=step.gauges,
        scales_with_load=step.scales_with_load,
        load=step.load,
        up_s=step.up_s,
        censored=step.censored,
    )


def _is_sound(file: Named) -> bool:
    try:
        segment.read([file])
    except StoreError:
        return False
    return True


def _sound(group: list[Named], refused: Callable[[str], None]) -> Iterator[Rows]:
    """A group as a whole; where that fails, file by file, without those that are refused."""
    try:
        yield segment.read(group)
    except StoreError:
        for each in group:
            try:
                rows = segment.read([each])
            except StoreError as error:
                refused(str(error))
            else:
                yield rows
