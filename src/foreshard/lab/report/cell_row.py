"""This module is the pictures of one cell: its traffic, what was foreseen of it, what was done."""

from __future__ import annotations

from itertools import accumulate

from foreshard.lab.report.curve import Point, area, line, steps
from foreshard.lab.report.figures import Report, Said
from foreshard.lab.report.harm import letter
from foreshard.lab.report.markup import Html, join, tag
from foreshard.lab.report.packing import NARROW_PX, WIDE_PX, Label, text_px
from foreshard.lab.report.plot import Axis, Box, column, over, packed, stroke, time_axis, upright
from foreshard.lab.report.samples import Stated
from foreshard.lab.report.scale import Scale, nice_ticks
from foreshard.lab.report.theme import CLASS_TINTS
from foreshard.lab.report.wording import percent, seconds, spaced
from foreshard.lab.scores import REACTIVE

__all__ = ["CellRow", "Marked", "marks"]

# A decision of the list, with its number.
Marked = tuple[int, Said]

# Over how many seconds the reactive side's answers are averaged: one second is mostly chance.
SMOOTH_S = 5
# A class whose probability never came so far is not drawn: it would be a line along the bottom.
WORTH_DRAWING = 0.2
MARK_PX = 7.0
ACTIVE = "active"


def marks(report: Report, said: list[Marked]) -> Html:
    """Numbers at the moments of decisions; each leads to its line in the list."""
    scale = over(report)
    placed = []
    for number, entry in said:
        label = Label(
            at=scale.at(entry.at_s), width_px=MARK_PX * len(str(number)) + 9.0, centred=True
        )
        shown = tag(
            "a",
            str(number),
            class_="mark" if entry.moved else "mark held",
            href=f"#decision-{number}",
            title=f"{seconds(entry.at_s)}: {entry.text}",
        )
        placed.append((label, label, shown))
    return packed("marks", placed)


class CellRow:
    """Draws one cell.

    Args:
        report: The run.
        cell: Its name.
        said: Decisions about it.
        top: The largest share that any cell of the page has.
    """

    def __init__(self, report: Report, cell: str, said: list[Marked], *, top: float) -> None:
        self._report = report
        self._cell = cell
        self._said = said
        self._shares = Scale(low=0.0, high=top)
        self._time = over(report)
        self._faults = [
            (i, f)
            for i, f in enumerate(report.faults)
            if cell in f.cells and f.at_s <= report.ran_s
        ]
        names = report.samples.cells
        self._at = names.index(cell) if cell in names and report.samples.t_s else None

    @property
    def is_quiet(self) -> bool:
        """Whether nothing happened to it and nothing was decided about it."""
        return not self._said and not self._faults

    def html(self, *, small: bool) -> Html:
        """The row; a small one has lower pictures and no axis of its own."""
        at = self._at
        parts = [self._head(), tag("div", marks(self._report, self._said), class_="inset")]
        parts.append(self._traffic(most=2 if small else 4))
        if at is not None:
            parts += [self._risk(at), self._ribbon(at)]
        if not small:
            parts.append(time_axis(self._report))
        return tag(
            "section",
            *parts,
            class_="cell small" if small else "cell",
            aria_label=f"cell {self._cell}",
            data_share=self._per_second_share(),
            data_risk=self._per_second_risk(),
        )

    def _head(self) -> Html:
        chips = []
        for index, fault in self._faults:
            words = f"{spaced(fault.kind)} from {seconds(fault.at_s)}"
            if fault.lead_s is not None:
                early = "before" if fault.lead_s >= 0.0 else "after"
                words += f", relieved {seconds(abs(fault.lead_s))} {early} onset"
            elif fault.onset_s is None:
                words += f", onset {self._report.no_onset(fault)}"
            elif fault.relieved_s is None:
                words += f", onset at {seconds(fault.onset_s)}, not relieved"
            chips.append(
                tag(
                    "a",
                    tag("b", letter(index)),
                    tag("span", words),
                    class_="chip",
                    href=f"#fault-{index + 1}",
                )
            )
        return tag(
            "header",
            tag("h3", self._cell),
            *chips,
            tag("output", class_="now", hidden=""),
        )

    def _traffic(self, *, most: int) -> Html:
        classes, layers = self._stack()
        reactive = self._reactive()
        total = classes[-1] if classes else []
        low, high = (f([y for _, y in total], default=0.0) for f in (min, max))
        title = f"Share of all requests that {self._cell} gets"
        told = (
            f"planned by Foreshard between {percent(self._back(low))} and "
            f"{percent(self._back(high))}"
            if total
            else "Foreshard did not run"
        )
        ticks = nice_ticks(self._shares.high, most=most)
        box = Box(
            kind="share",
            axis=Axis(ticks=[(self._shares.at(v), percent(v)) for v in ticks]),
            title=title,
            description=told,
        )
        return box.html(
            [
                self._backdrop(),
                *layers,
                stroke("line reactive", line(reactive)),
                *self._moments(),
                *self._leads(),
            ],
            [tag("span", "share", class_="what")],
        )

    def _leads(self) -> list[Html]:
        """From relief to onset, along the top."""
        spans = [
            (self._time.at(f.relieved_s), self._time.at(f.onset_s))
            for _, f in self._faults
            if f.relieved_s is not None and f.onset_s is not None and f.relieved_s < f.onset_s
        ]
        return [tag("path", class_="gain", d=f"M{a * 1e3:.1f} 5H{b * 1e3:.1f}") for a, b in spans]

    def _back(self, y: float) -> float:
        return y * self._shares.high

    def _stack(self) -> tuple[list[list[Point]], list[Html]]:
        """The upper edge of each class, from the bottom, and the areas between."""
        samples, at = self._report.samples, self._at
        if at is None:
            return [], []
        mix = [self._report.mix.get(name, 0.0) for name in samples.classes]
        edges: list[list[float]] = [
            list(accumulate(m * row[at] for m, row in zip(mix, now, strict=True)))
            for now in samples.share
        ]
        until = self._time.at(self._report.ran_s)
        curves = [
            steps(
                [
                    (self._time.at(t), self._shares.at(edge[k]))
                    for t, edge in zip(samples.t_s, edges, strict=True)
                ],
                until,
            )
            for k in range(len(mix))
        ]
        below = [[(0.0, 0.0), (until, 0.0)], *curves]
        layers = [
            stroke(f"tint-{min(k + 1, CLASS_TINTS)}", area(curve, below[k]))
            for k, curve in enumerate(curves)
        ]
        return curves, layers

    def _reactive(self) -> list[Point | None]:
        """Share of the answers of the reactive side that came from this cell."""
        answered = self._report.answered.get(REACTIVE)
        if answered is None or self._cell not in self._report.cells:
            return []
        own = answered[self._report.cells.index(self._cell)]
        fleet = [sum(second) for second in zip(*answered, strict=True)]
        found: list[Point | None] = []
        for s in range(int(self._report.ran_s)):
            span = slice(max(0, s - SMOOTH_S // 2), s + SMOOTH_S // 2 + 1)
            total = sum(fleet[span])
            share = sum(own[span]) / total if total else None
            place = self._time.at(s + 0.5)
            found.append(None if share is None else (place, self._shares.at(share)))
        return found

    def _risk(self, at: int) -> Html:
        samples, horizons = self._report.samples, self._report.horizons_s
        if not horizons:
            return join(())
        short, long = horizons[0], horizons[-1]
        stated = [row[at] for row in samples.risk[long]]
        layers = [self._backdrop()]
        layers += [stroke("band", area(*band)) for band in self._bands(stated)]
        layers.append(
            tag("path", class_="doubt", d=f"M0 {100.0 * (1.0 - self._report.doubt_p):g}H1000")
        )
        layers.append(
            stroke("line risk-short", line(self._line([r[at] for r in samples.risk[short]])))
        )
        names = []
        for k, name in enumerate(samples.classes):
            of_class = [row[k][at] for row in samples.class_risk[long]]
            worst = max((s.p for s in of_class if s is not None), default=0.0)
            if worst >= WORTH_DRAWING:
                layers += [stroke("band class", area(*b)) for b in self._bands(of_class)]
                layers.append(stroke("line risk-class", line(self._line(of_class))))
                first = next(i for i, s in enumerate(of_class) if s is not None and s.p == worst)
                names.append((self._time.at(samples.t_s[first]), name))
        layers += [stroke("line risk", line(self._line(stated))), *self._moments()]
        worst = max((s.p for s in stated if s is not None), default=0.0)
        box = Box(
            kind="risk",
            axis=Axis(ticks=[(v, percent(v)) for v in (0.0, 0.5, 1.0)]),
            title=f"Predicted probability that {self._cell} fails within {long:g} s",
            description=f"at most {percent(worst)}" if any(stated) else "nothing was forecast",
        )
        labels = []
        for place, name in sorted(names):
            label = Label(at=place, width_px=text_px(f"{name} alone") + 8.0)
            labels.append((label, label, tag("span", f"{name} alone", class_="alone")))
        return box.html(
            layers,
            [
                tag("span", f"P(fails within {long:g} s)", class_="what"),
                packed("names", labels),
            ],
        )

    def _line(self, stated: list[Stated | None]) -> list[Point | None]:
        samples, found = self._report.samples, list[Point | None]()
        silences = samples.silences()
        for i, (t, s) in enumerate(zip(samples.t_s, stated, strict=True)):
            if i in silences:
                found.append(None)
            found.append(None if s is None else (self._time.at(t), s.p))
        return found

    def _bands(self, stated: list[Stated | None]) -> list[tuple[list[Point], list[Point]]]:
        """Upper and lower edge of each stretch without a gap."""
        runs: list[tuple[list[Point], list[Point]]] = []
        is_open = False
        silences = self._report.samples.silences()
        for i, (t, s) in enumerate(zip(self._report.samples.t_s, stated, strict=True)):
            is_open = is_open and i not in silences
            if s is None:
                is_open = False
                continue
            if not is_open:
                runs.append(([], []))
                is_open = True
            runs[-1][0].append((self._time.at(t), s.high))
            runs[-1][1].append((self._time.at(t), s.low))
        return runs

    def _ribbon(self, at: int) -> Html:
        """The phases of the cell, each as long as it lasted."""
        samples, end = self._report.samples, self._report.ran_s
        turns = [
            (t, row[at])
            for i, (t, row) in enumerate(zip(samples.t_s, samples.phase, strict=True))
            if i == 0 or samples.phase[i - 1][at] != row[at]
        ]
        parts = []
        for i, (t, phase) in enumerate(turns):
            until = turns[i + 1][0] if i + 1 < len(turns) else end
            left, right = self._time.at(t), self._time.at(until)
            if right <= left or not phase:
                continue
            room = (right - left) * WIDE_PX >= text_px(phase) + 10.0
            narrow = (right - left) * NARROW_PX >= text_px(phase) + 10.0
            fits = "fits" if narrow else "fits-wide" if room else "tight"
            parts.append(
                tag(
                    "span",
                    tag("span", phase, class_=fits),
                    class_="phase" if phase == ACTIVE else "phase away",
                    style=f"left:{100.0 * left:.2f}%;width:{100.0 * (right - left):.2f}%",
                    title=f"{phase} from {seconds(t)} to {seconds(until)}",
                )
            )
        return tag("div", *parts, class_="ribbon inset")

    def _backdrop(self) -> Html:
        """Faults of this cell, and what was not run or not heard of."""
        report, parts = self._report, []
        for i, lasted_s in report.samples.silences().items():
            until_s = report.samples.t_s[i]
            parts.append(
                column("unrun", self._time.at(until_s - lasted_s), self._time.at(until_s))
            )
        for _, fault in self._faults:
            until = max(fault.ends_s, fault.at_s + 0.006 * report.duration_s)
            parts.append(column("fault", self._time.at(fault.at_s), self._time.at(until)))
        if report.was_cut_short:
            parts.append(column("unrun", self._time.at(report.ran_s), 1.0))
        return tag("g", *parts)

    def _moments(self) -> list[Html]:
        return [
            upright("onset", self._time.at(f.onset_s))
            for _, f in self._faults
            if f.onset_s is not None
        ]

    def _per_second_share(self) -> str | None:
        """Tenths of a percent by second, for the read-out under the pointer."""
        samples, at = self._report.samples, self._at
        if at is None:
            return None
        mix = [self._report.mix.get(name, 0.0) for name in samples.classes]
        return self._by_second(
            [
                f"{1e3 * sum(m * row[at] for m, row in zip(mix, now, strict=True)):.0f}"
                for now in samples.share
            ]
        )

    def _per_second_risk(self) -> str | None:
        """p,low,high in percent by second."""
        at = self._at
        if at is None or not self._report.horizons_s:
            return None
        stated = (row[at] for row in self._report.samples.risk[self._report.horizons_s[-1]])
        return self._by_second(
            [
                "" if s is None else f"{100 * s.p:.0f},{100 * s.low:.0f},{100 * s.high:.0f}"
                for s in stated
            ]
        )

    def _by_second(self, values: list[str]) -> str:
        """What stood at the end of each second, with spaces between."""
        times, found, i = self._report.samples.t_s, [], -1
        for second in range(int(self._report.ran_s)):
            while i + 1 < len(times) and times[i + 1] <= second + 1.0:
                i += 1
            found.append(values[i] if i >= 0 else "")
        return " ".join(v or "-" for v in found)
