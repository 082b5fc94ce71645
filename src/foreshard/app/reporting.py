"""This module is a page drawn from the figures of a run that is over."""

from __future__ import annotations

from pathlib import Path

from foreshard.config.plain_file import read_bytes
from foreshard.lab.report import page, parse
from foreshard.model.errors import LabError

__all__ = ["draw"]

# So that a disk image does not fill the memory.
MOST_BYTES = 256 * 1024 * 1024


def draw(figures: Path, output: Path) -> None:
    """Write the page of a report.

    Raises:
        LabError: The figures cannot be read or drawn, or the page cannot be written.
    """
    try:
        text = read_bytes(figures, most=MOST_BYTES).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise LabError(f"report {figures} cannot be read: {error}") from error
    try:
        drawn = page(parse(text))
    except LabError as error:
        raise LabError(f"{figures}: {error}") from error
    try:
        output.write_text(drawn, encoding="utf-8")
    except OSError as error:
        raise LabError(f"page {output} cannot be written: {error}") from error
