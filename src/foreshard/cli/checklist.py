"""This module is a checkup on the terminal, in the manner of `linkerd check`."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterator, Mapping
from typing import TextIO

from foreshard.app.checking.finding import Checkup, Finding, Mark, Section

__all__ = ["checklist"]

SIGNS = {Mark.GREEN: "√", Mark.AMBER: "!", Mark.RED: "\N{MULTIPLICATION SIGN}"}
COLOURS = {Mark.GREEN: "32", Mark.AMBER: "33", Mark.RED: "31"}
WIDTH = 100
HINT = "    "


def checklist(checkup: Checkup, out: TextIO) -> str:
    """One line a check, hints below what is not green, what is lost, and the sum.

    Args:
        checkup: What was found.
        out: Where it will be printed: colours on a terminal only, and not with NO_COLOR.
    """
    is_coloured = out.isatty() and not os.environ.get("NO_COLOR")
    signs = {
        mark: f"\033[{COLOURS[mark]}m{sign}\033[0m" if is_coloured else sign
        for mark, sign in SIGNS.items()
    }
    lines = []
    for section in Section:
        found = checkup.of(section)
        if found:
            lines += [section.value, "-" * len(section.value)]
            lines += [line for one in found for line in _lines(one, signs)]
            lines.append("")
    losses = checkup.losses()
    if losses:
        lines += ["what is lost, what matters most first", "-" * 37]
        lines += list(dict.fromkeys(f"{signs[one.mark]} {one.means}" for one in losses))
        lines.append("")
    counts = ", ".join(f"{checkup.count(mark)} {mark.value}" for mark in Mark)
    verdict = {
        Mark.RED: "not ready: mend what is red first",
        Mark.AMBER: "ready, and does less than it could",
        Mark.GREEN: "ready",
    }[losses[0].mark if losses else Mark.GREEN]
    return "\n".join([*lines, f"{counts}: {verdict}"])


def _lines(one: Finding, signs: Mapping[Mark, str]) -> Iterator[str]:
    yield f"{signs[one.mark]} {one.says}"
    for word, hint in (("lost: ", one.means), ("do:   ", one.todo)):
        if hint:
            yield from textwrap.wrap(
                hint, WIDTH, initial_indent=f"{HINT}{word}", subsequent_indent=f"{HINT}      "
            )
