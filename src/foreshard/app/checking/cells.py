"""This module is what is made of the cells: do they answer, are they healthy, do they speak?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from foreshard.adapters.inspection.http import Answer, Silent
from foreshard.app.checking.facts import NodeFacts
from foreshard.app.checking.finding import Finding, Mark, Section, green, told
from foreshard.config.settings import ScrapeSettings

__all__ = ["judge_cells"]

# The Date header has whole seconds; more than this is a wrong clock.
MOST_SKEW_S = 2.0


def judge_cells(nodes: Sequence[NodeFacts], scrape: ScrapeSettings) -> Iterator[Finding]:
    """Connections, health checks, metrics pages and clocks of all nodes."""
    yield from _connections(nodes)
    there = [node for node in nodes if node.silent is None]
    if scrape.health_path:
        yield from _health(there, scrape)
    yield from _pages(there, scrape)
    yield from _clocks(there)


def _connections(nodes: Sequence[NodeFacts]) -> Iterator[Finding]:
    dead = [node for node in nodes if node.silent is not None]
    if not dead:
        yield green(Section.CELLS, f"{_nodes(nodes)} of {_cells(nodes)} cells take connections")
        return
    alike: dict[tuple[bool, str], list[NodeFacts]] = {}
    living = {node.cell for node in nodes if node.silent is None}
    for node in dead:
        reason = node.silent.because if node.silent else ""
        alike.setdefault((node.cell not in living, reason), []).append(node)
    for (is_whole, reason), silent in alike.items():
        yield _dead(silent, reason, is_whole=is_whole)
    if len(dead) < len(nodes):
        yield green(Section.CELLS, f"{len(nodes) - len(dead)} of {_nodes(nodes)} take connections")


def _dead(silent: Sequence[NodeFacts], reason: str, *, is_whole: bool) -> Finding:
    names = _names(silent)
    cells = f"cell{'s' if len(names) > 1 else ''} {told(names)}"
    return Finding(
        section=Section.CELLS,
        mark=Mark.RED if is_whole else Mark.AMBER,
        says=f"{cells}: {told(node.address for node in silent)} {reason}",
        means=(
            f"{told(names)}: dead for Foreshard, and without requests"
            if is_whole
            else f"{told(names)}: fewer nodes than declared do the work"
        ),
        todo="start it, or mend cells.nodes; a firewall between here and there looks the same",
        weight=90 if is_whole else 40,
    )


def _health(nodes: Sequence[NodeFacts], scrape: ScrapeSettings) -> Iterator[Finding]:
    path = scrape.health_path
    ill = [n for n in nodes if not (isinstance(n.health, Answer) and n.health.is_good)]
    for says in dict.fromkeys(_said(node.health) for node in ill):
        where = [n for n in ill if _said(n.health) == says]
        wrong_path = says == "answers 404"
        yield Finding(
            section=Section.CELLS,
            mark=Mark.RED,
            says=f"health path {path} {says} at {told(n.address for n in where)}"
            f" ({told((n.cell for n in where), of=_names(nodes))})",
            means="Envoy and Foreshard take these nodes for ill, and send nothing there",
            todo=(
                "name the right scrape.health_path"
                if wrong_path
                else "see what the node itself says of its health"
            ),
            weight=85,
        )
    if nodes and not ill:
        yield green(Section.CELLS, f"health path {path} answers 2xx at {_nodes(nodes)}")


def _pages(nodes: Sequence[NodeFacts], scrape: ScrapeSettings) -> Iterator[Finding]:
    heard = [n for n in nodes if isinstance(n.page, Answer) and n.page.is_good]
    mute = [n for n in nodes if n not in heard]
    for says in dict.fromkeys(_said(node.page) for node in mute):
        where = [n for n in mute if _said(n.page) == says]
        yield Finding(
            section=Section.CELLS,
            mark=Mark.RED,
            says=f"metrics page {scrape.path} {says} at {told(n.address for n in where)}"
            f" ({told((n.cell for n in where), of=_names(nodes))})",
            means="nothing is foreseen for these cells, and no plan counts on them",
            todo="name the right scrape.path; the page must be on the port of the node",
            weight=80,
        )
    late = [n for n in heard if isinstance(n.page, Answer) and n.page.took_s > scrape.timeout_s]
    if late:
        slowest = max(n.page.took_s for n in late if isinstance(n.page, Answer))
        yield Finding(
            section=Section.CELLS,
            mark=Mark.RED,
            says=f"metrics page takes up to {slowest:.2f} s at {told(n.cell for n in late)}",
            means=f"Foreshard waits {scrape.timeout_s:g} s, so these cells look silent",
            todo="make the page faster, or raise scrape.timeout_s (and tick_s above it)",
            weight=75,
        )
    if heard and not mute and not late:
        slowest = max(n.page.took_s for n in heard if isinstance(n.page, Answer))
        yield green(
            Section.CELLS,
            f"metrics page {scrape.path} heard just now from {_nodes(heard)},"
            f" the slowest in {1000 * slowest:.0f} ms",
        )


def _clocks(nodes: Sequence[NodeFacts]) -> Iterator[Finding]:
    skews = {
        node.address: node.page.skew_s
        for node in nodes
        if isinstance(node.page, Answer) and node.page.skew_s is not None
    }
    wrong = {address: skew for address, skew in skews.items() if abs(skew) > MOST_SKEW_S}
    if wrong:
        worst = max(wrong.values(), key=abs)
        yield Finding(
            section=Section.CELLS,
            mark=Mark.AMBER,
            says=f"clock of {told(wrong)} differs from ours by up to {worst:+.0f} s",
            means="restarts there are dated wrongly, and maintenance windows mean another time",
            todo="let both machines keep time by the same source (NTP)",
            weight=30,
        )
    elif skews:
        yield green(Section.CELLS, f"clocks agree within {MOST_SKEW_S:g} s at {len(skews)} nodes")


def _said(answer: Answer | Silent | None) -> str:
    if isinstance(answer, Answer):
        return f"answers {answer.status}"
    return answer.because if answer is not None else "was not asked"


def _names(nodes: Sequence[NodeFacts]) -> list[str]:
    return list(dict.fromkeys(node.cell for node in nodes))


def _cells(nodes: Sequence[NodeFacts]) -> int:
    return len(_names(nodes))


def _nodes(nodes: Sequence[NodeFacts]) -> str:
    return f"{len(nodes)} node{'s' if len(nodes) != 1 else ''}"
