"""This module is the first configuration file, with a comment where a person will ask why.

What was found stands there as found. What nobody could know is marked ASK, so that it can be
searched for.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence

import yaml

from foreshard.config.draft import ClassDraft, Draft, GaugeDraft, MetricDraft
from foreshard.config.schema import MODELINE
from foreshard.model.topology import Cell

__all__ = ["ASK", "asked", "template"]

ASK = "ASK"
"""What marks a line that a person should look at."""
# A quarter of the time-out: an answer so late is late for most.
OBJECTIVE_RATIO = 0.25
PLAIN = re.compile(r"^[A-Za-z/][A-Za-z0-9_./-]*$")
# Whole numbers up to here are written digit by digit.
EXACT = 2.0**53
# What YAML 1.1 takes for something else than text.
WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})

HEAD = """\
{modeline}
# Foreshard for {service}, found at {found_at}.
#   foreshard check {file}       is everything there, and what is lost where it is not?
#   foreshard bootstrap {file}   the bootstrap of an Envoy that Foreshard steers
#   foreshard run {file}         observe, or steer
# Lines marked {ask} hold what could not be known. Paths are relative to this file. Every other
# setting has a default; an editor that knows YAML shows them from the schema named above.

service: {service}
data_dir: var/foreshard

# observe = serve an even plan, decide and record, change nothing; act = steer.
mode: observe
"""


def template(draft: Draft, *, file: str) -> str:
    """The file's text.

    Args:
        draft: What is known.
        file: Its name, for the commands in its head.
    """
    head = HEAD.format(
        modeline=MODELINE,
        service=_text(draft.service),
        found_at=draft.found_at,
        file=file,
        ask=ASK,
    )
    parts = (_classes(draft), _cells(draft.cells), _scrape(draft), _balancers(draft), _rest())
    return "\n".join([head, *("\n".join(part) + "\n" for part in parts)])


def asked(draft: Draft) -> tuple[str, ...]:
    """What a person should look at or fill in, one sentence each."""
    unsaid = [c.name for c in draft.classes if c.objective_s is None]
    found = []
    if unsaid:
        found.append(
            f"objective_s of {', '.join(unsaid)}: when is an answer late? A quarter of the "
            "time-out stands there now"
        )
    found += [
        f"limit of {gauge.resource}: {gauge.used.name} is on the pages, where it ends is not; "
        f"until it is given, {gauge.resource} running out is not foreseen"
        for gauge in draft.gauges
        if gauge.limit is None
    ]
    if not any("mem" in g.resource or "heap" in g.resource for g in draft.gauges):
        found.append("memory: no page tells it; until one does, a memory leak is not foreseen")
    if not draft.health_path:
        found.append("health_path: none was found; the metrics page stands in for it")
    return tuple(found)


def _classes(draft: Draft) -> Iterator[str]:
    yield "# In order of match: the first class that matches a request takes it."
    yield "classes:"
    for each in draft.classes:
        yield from _class(each)
    yield f"default_class: {_text(draft.default_class):<13} # requests that match none"


def _class(each: ClassDraft) -> Iterator[str]:
    yield f"  - name: {_text(each.name)}"
    yield f"    priority: {each.priority:<15} # critical, normal, sheddable: who is given up last"
    yield f"    weight: {each.weight:<17g} # how much one bad request counts"
    objective = each.objective_s
    if objective is None:
        objective = each.timeout_s * OBJECTIVE_RATIO
        says = f"{ASK} a slower answer is bad"
    else:
        says = "a slower answer is bad"
    yield f"    objective_s: {objective:<12g} # {says}"
    yield f"    timeout_s: {each.timeout_s:g}"
    if each.method or each.path_prefix:
        parts = [("method", each.method), ("path_prefix", each.path_prefix)]
        inner = ", ".join(f"{key}: {_text(value)}" for key, value in parts if value)
        yield f"    match: {{{inner}}}"
    if each.key_header:
        key = f"{_text(each.key_header):<13}"
        yield f"    key_header: {key} # requests with one key stay in one cell"
    if each.retriable:
        yield "    retriable: true           # may be asked twice, elsewhere"


def _cells(cells: Sequence[Cell]) -> Iterator[str]:
    yield "# One cell a line: what fails together. Nodes take requests, health checks and scrapes."
    yield "cells:"
    for cell in cells:
        nodes = ", ".join(f'"{node.host}:{node.port}"' for node in cell.nodes)
        zone = f", zone: {_text(cell.zone)}" if cell.zone != cell.region else ""
        where = f"region: {_text(cell.region)}{zone}"
        yield f"  - {{name: {_text(cell.name)}, {where}, nodes: [{nodes}]}}"
    if len({cell.region for cell in cells}) > 1:
        regions = sorted({cell.region for cell in cells})
        yield ""
        yield "# Round trip in milliseconds, from where requests come from to where cells stand."
        others = ", ".join(f"{_text(region)}: 80" for region in regions[1:])
        yield f"# latency_ms: {{{_text(regions[0])}: {{{others}}}}}"


def _scrape(draft: Draft) -> Iterator[str]:
    yield "# Where cells speak of themselves, and what is watched there."
    yield "scrape:"
    yield f"  path: {_text(draft.metrics_path)}"
    health = _text(draft.health_path)
    says = "also what Envoy checks" if draft.health_path else f"{ASK} none was found"
    yield f"  health_path: {health:<14} # {says}"
    yield "  gauges:"
    for gauge in draft.gauges:
        lines = list(_gauge(gauge))
        if gauge.limit is None:
            yield f"    # {ASK} give the limit of one node and take the # away:"
            yield from (f"    # {line}" for line in lines)
        else:
            yield from (f"    {line}" for line in lines)


def _gauge(gauge: GaugeDraft) -> Iterator[str]:
    yield f"- resource: {_text(gauge.resource)}"
    yield f"  used: {_metric(gauge.used)}"
    limit = gauge.limit
    because = f"  # {gauge.because}" if gauge.because else ""
    if isinstance(limit, MetricDraft):
        yield f"  limit: {_metric(limit)}{because}"
    else:
        yield f"  limit: {'...' if limit is None else _number(limit)}{because}"
    if gauge.is_counter:
        yield "  counter: true            # take its rate"
    if gauge.scales_with_load:
        yield "  scales_with_load: true   # less load cures it"
    if gauge.is_capacity:
        yield "  capacity: true           # what a plan may fill"


def _balancers(draft: Draft) -> Iterator[str]:
    yield "# Every Envoy in front of the cells: its admin page, and the region it stands in."
    yield "balancers:"
    for each in draft.balancers:
        yield f'  - {{admin: "{each.admin}", origin: {_text(each.origin)}}}'
    yield ""
    yield "envoy:"
    yield "  discovery: 127.0.0.1:18000   # where Foreshard serves xDS"
    yield f"  listen: {draft.listen:<20} # where Envoy takes requests"


def _rest() -> Iterator[str]:
    yield "# Announced maintenance, a JSON or YAML list; read again when it changes."
    yield "# events_file: events.yaml"
    yield ""
    yield "# Who restarts a cell that was emptied: a URL that takes CloudEvents."
    yield '# driver: {webhook: "http://127.0.0.1:8080/events"}'


def _metric(metric: MetricDraft) -> str:
    labels = ", ".join(f"{_text(k)}: {_text(v)}" for k, v in sorted(metric.labels.items()))
    return f"{{metric: {_text(metric.name)}{f', labels: {{{labels}}}' if labels else ''}}}"


def _number(value: float) -> str:
    """As YAML 1.1 knows a number: with a point, also before an exponent."""
    if value == int(value) and value < EXACT:
        return f"{value:.0f}"
    text = repr(float(value))
    return text if "." in text else text.replace("e", ".0e")


def _text(value: str) -> str:
    """A YAML scalar that is read back as this text."""
    if PLAIN.match(value) and value.lower() not in WORDS:
        return value
    quoted: str = yaml.safe_dump(value, default_style='"', width=sys.maxsize)
    return quoted.strip()
