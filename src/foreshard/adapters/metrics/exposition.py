"""This module is the Prometheus text format, of which only the wanted families are parsed.

A page of 100 lines costs the library's parser 1 ms. So lines that nobody asked for are dropped
unread, and plain ones, which almost all are, are read here; as soon as one is not plain (an
escape, a value in words, nonsense), the library reads them all, and its word counts. Timestamps
on a page are ignored: the clocks of cells differ, and the age of a sample is counted from when
it was heard.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import lru_cache

from prometheus_client.parser import text_string_to_metric_families

from foreshard.model.errors import SourceError

__all__ = ["Page", "PageSample", "parse_page"]

LABEL = r'(?!__)[a-zA-Z_][a-zA-Z0-9_]*="[^"\\\n]*"'
NUMBER = r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?"
PLAIN = re.compile(
    rf"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{{({LABEL}(?:,{LABEL})*)?\}})? +({NUMBER})(?: +-?[0-9]+)?"
)
PAIR = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="([^"]*)"')


@dataclass(frozen=True, slots=True)
class PageSample:
    """One line of a page: its labels and its value."""

    labels: Mapping[str, str]
    value: float


Page = Mapping[str, tuple[PageSample, ...]]


def parse_page(text: str, *, wanted: AbstractSet[str]) -> Page:
    r"""The samples of the wanted metrics, by metric name (with `_total` where the page has it).

    >>> parse_page('# HELP up x\nup{job="a"} 1\nother 2\n', wanted={"up"})
    {'up': (PageSample(labels={'job': 'a'}, value=1.0),)}

    Args:
        text: A page in the Prometheus text format, version 0.0.4.
        wanted: Metric names; every other line is skipped unread.

    Raises:
        SourceError: A wanted line is not in that format.
    """
    lines = _lines_of(frozenset(wanted)).findall(text)
    page = _plain(lines)
    if page is None:
        page = _read(lines)
    return {name: tuple(samples) for name, samples in page.items()}


@lru_cache(maxsize=16)
def _lines_of(wanted: frozenset[str]) -> re.Pattern[str]:
    """Whole lines that begin with one of these names."""
    names = "|".join(re.escape(name) for name in sorted(wanted, reverse=True)) or r"(?!)"
    return re.compile(rf"^[^\S\n]*(?:{names})(?=[\s{{]|\Z).*$", re.MULTILINE)


def _plain(lines: Sequence[str]) -> dict[str, list[PageSample]] | None:
    """The samples of plain lines; None = one of them is not."""
    page: dict[str, list[PageSample]] = {}
    for line in lines:
        found = PLAIN.fullmatch(line)
        if found is None:
            return None
        name, inside, value = found.groups()
        pairs = PAIR.findall(inside) if inside else ()
        labels = dict(pairs)
        if len(labels) != len(pairs):
            return None
        page.setdefault(name, []).append(PageSample(labels, float(value)))
    return page


def _read(lines: Sequence[str]) -> dict[str, list[PageSample]]:
    """The same by the library.

    Raises:
        SourceError: A line is not in the format.
    """
    page: dict[str, list[PageSample]] = {}
    try:
        for family in text_string_to_metric_families("\n".join(lines) + "\n"):
            for sample in family.samples:
                page.setdefault(sample.name, []).append(
                    PageSample(sample.labels, float(sample.value))
                )
    except (ValueError, IndexError, KeyError) as error:
        raise SourceError(f"the page is not Prometheus text: {error}") from error
    return page
