"""This module is our log: one line an event, for people or as JSON, without secrets, bounded.

It goes to standard error. A process that `foreshard run` started writes into a file, which it
puts aside itself when it has grown: nobody has to be there for that, and no line is lost. What a
full disk refuses goes to the standard error of `foreshard run`; it never costs the process.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import MutableMapping
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from traceback import format_exception
from types import TracebackType
from typing import Any

import structlog
from structlog.typing import Processor, WrappedLogger

from foreshard.app.masking import mask, mask_text
from foreshard.controller.follow import FILE_VARIABLE
from foreshard.controller.last_words import speak
from foreshard.model.errors import ConfigError

__all__ = ["LogFormat", "configure"]

MAX_BYTES = 8 * 1024 * 1024
KEPT = 3
STDOUT, STDERR = 1, 2


class LogFormat(StrEnum):
    """How a line looks."""

    JSON = "json"
    PEOPLE = "people"


def configure(wanted: str | None) -> None:
    """Log from now on.

    Args:
        wanted: `json` or `people`; None = for people on a terminal, else JSON.

    Raises:
        ConfigError: There is no such format.
    """
    is_terminal = sys.stderr.isatty()
    try:
        form = LogFormat(wanted or ("people" if is_terminal else "json"))
    except ValueError:
        names = ", ".join(LogFormat)
        raise ConfigError(f"log format is {wanted!r}, must be one of {names}") from None
    file = os.environ.get(FILE_VARIABLE, "")
    shown: list[Processor] = [structlog.processors.format_exc_info]
    if form is LogFormat.JSON:
        shown += [_masked, structlog.processors.JSONRenderer(default=str)]
    else:
        people = structlog.dev.ConsoleRenderer(colors=is_terminal, pad_event=0, pad_level=False)
        shown += [_masked, _in_words, people]
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            _timed(form),
            *shown,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=lambda *_: _Lines(Path(file) if file else None),
        cache_logger_on_first_use=False,
    )
    if file:
        sys.excepthook = _crashed
    others = _Others()
    others.setFormatter(logging.Formatter("%(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[others], force=True)


def _timed(form: LogFormat) -> Processor:
    """The moment, unless the line brings its own."""
    pattern = "iso" if form is LogFormat.JSON else "%H:%M:%S"
    stamp = structlog.processors.TimeStamper(fmt=pattern, utc=form is LogFormat.JSON)

    def add(
        logger: WrappedLogger, name: str, event: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        return event if "timestamp" in event else stamp(logger, name, event)

    return add


def _masked(
    _: WrappedLogger, __: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    return {key: mask({key: value})[key] for key, value in event.items()}  # type: ignore[index]


def _in_words(
    _: WrappedLogger, __: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """A decision reads as a sentence about a cell; a child's moment is shown as ours is."""
    moment = str(event.get("timestamp", ""))
    if "T" in moment:
        event["timestamp"] = datetime.fromisoformat(moment).astimezone().strftime("%H:%M:%S")
    if event.get("event") == "decision" and {"cell", "text"} <= event.keys():
        event["event"] = f"{event.pop('cell')}: {event.pop('text')}"
    return event


class _Others(logging.Handler):
    """What libraries say goes the same way."""

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        log = structlog.get_logger()
        log.log(record.levelno, "library.said", library=record.name, text=text)


class _Lines:
    """Writes lines to standard error; `file` is where that leads, if it is ours to bound."""

    def __init__(self, file: Path | None) -> None:
        self._file = file

    def msg(self, message: str) -> None:
        try:
            if self._file is not None:
                _bound(self._file)
            sys.stderr.flush()
        except OSError:
            # The line itself may still find a place.
            pass
        _write(f"{message}\n")

    log = debug = info = warning = warn = error = critical = fatal = exception = msg


def _write(text: str) -> None:
    content = text.encode(errors="backslashreplace")
    try:
        is_written = os.write(STDERR, content) == len(content)
    except OSError:
        is_written = False
    if not is_written:
        speak(content)


def _crashed(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """As Python says it, where there is room."""
    _write(mask_text("".join(format_exception(kind, error, trace))))


def _bound(file: Path) -> None:
    """Put the file aside once it is large, and go on in a new one."""
    if os.fstat(STDERR).st_size <= MAX_BYTES:
        return
    for number in range(KEPT - 1, 0, -1):
        older = file.with_name(f"{file.name}.{number}")
        if older.exists():
            older.replace(file.with_name(f"{file.name}.{number + 1}"))
    file.replace(file.with_name(f"{file.name}.1"))
    fresh = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for descriptor in (STDOUT, STDERR):
        os.dup2(fresh, descriptor)
    os.close(fresh)
