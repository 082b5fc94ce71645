"""This module is `foreshard averted`: what acting was worth, in words."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from foreshard.cli.argument import MaybeConfig, guarded, settings_of

if TYPE_CHECKING:
    from foreshard.app.averting import Account
    from foreshard.forecast.averted import Averted

__all__ = ["averted"]

WORDS: Mapping[str, str] = {
    "forgotten": "are older than the metric history (history.keep_s), or of other cells",
    "open": "are not over yet",
    "failing": "are of cells that had failed already",
    "off": "are of cells whose work was off already",
    "again": "were asked for again, after they were to be done",
    "weighed": "were withheld, then done; those that were withheld for longer stand for them",
    "relieved": "were withheld, but work left for another reason: the figure is too small",
    "unheard": "are of cells that were not heard",
}


def averted(
    config: MaybeConfig = None,
    is_json: Annotated[bool, typer.Option("--json", help="All figures, as JSON.")] = False,
) -> None:
    """Say how many failures acting has averted, with a 90 % interval, or why nobody can tell."""
    from foreshard.app.averting import account_of

    settings = guarded(lambda: settings_of(config))
    account = guarded(lambda: account_of(settings, now_s=time.time(), refused=_say))
    if is_json:
        typer.echo(json.dumps(asdict(account), indent=1))
        return
    for line in _lines(account):
        typer.echo(line)


def _lines(account: Account) -> Iterator[str]:
    span = f"{_when(account.begins_s)} to {_when(account.ends_s)}"
    yield f"{span}, failures within {_duration(account.horizon_s)}"
    acted, withheld = account.acted, account.withheld
    yield (
        f"forecasts asked for work to leave: {_times(acted.times)} it was to be done "
        f"({acted.failed} failed all the same), {_times(withheld.times)} it was withheld at "
        f"random ({withheld.failed} failed)"
    )
    found = account.estimate
    if found is None:
        yield f"failures averted: nothing can be told, for {_why_not(account)}"
    elif found.basis == "holdout":
        yield from _by_holdout(found)
    else:
        yield from _by_probes(found)
    if found is None or found.basis != "holdout":
        yield f"  {_advice(account.holdout_ratio)}"
    if account.left_out:
        yield f"of {account.asked} that are in the record, these do not count:"
        for because, count in sorted(account.left_out.items(), key=lambda item: -item[1]):
            yield f"  {count} {WORDS[because]}"
    if account.portion:
        yield f"told from {account.portion}"


def _by_holdout(found: Averted) -> Iterator[str]:
    yield f"failures averted: about {_interval(found)}, of {_times(found.of)} it was done"
    yield "  told by what was withheld at random: each stands for those like it that were not"
    if found.low <= 0.0:
        yield "  that may be none; more cases will tell"
    if found.unknown:
        yield (
            f"  of {_times(found.unknown)} nothing is said: nothing like it was withheld, as "
            "where critical requests would have paid"
        )


def _by_probes(found: Averted) -> Iterator[str]:
    if found.failures == 0.0:
        yield (
            f"failures averted: nothing can be told, for in none of {found.of} cases did the cell "
            "fail while its work was elsewhere; one that less work cures does not either"
        )
        return
    yield f"failures averted: at least {_interval(found)}, of {_times(found.of)} it was done"
    yield (
        "  told by cells that failed all the same while their work was elsewhere; of those that "
        "less work has cured nobody knows"
    )
    if found.unknown:
        yield f"  of {_times(found.unknown)} nothing is said: no work left, or nothing was heard"


def _interval(found: Averted) -> str:
    return f"{found.failures:.1f} (90 %: {found.low:.1f} to {found.high:.1f})"


def _why_not(account: Account) -> str:
    if not account.asked:
        return "forecasts have asked for nothing yet"
    if not account.acted.times:
        return "nothing that was done can be judged yet"
    return (
        "nothing like what was done was withheld at random, and no cell was heard while its work "
        "was off"
    )


def _advice(holdout_ratio: float) -> str:
    if holdout_ratio > 0.0:
        return f"{holdout_ratio:.0%} are withheld (thresholds.holdout_ratio): time will tell"
    return (
        "to be told more, have a tenth withheld at random: thresholds.holdout_ratio: 0.1 (it is "
        "0; critical requests never pay)"
    )


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _duration(seconds: float) -> str:
    return f"{seconds / 3600.0:g} h" if seconds >= 3600.0 else f"{seconds / 60.0:g} min"


def _when(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, tz=UTC).strftime("%Y-%m-%d %H:%M UTC")


def _say(text: str) -> None:
    typer.echo(f"foreshard: {text}", err=True)
