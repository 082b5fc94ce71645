"""This module is the holdout: of what a forecast asks for, a small random part is not done.

Where acting works, nothing happens; so nobody could ever tell how much of it was worth doing, and
a model that learns from such a history unlearns. A part that is withheld at random tells, at a
price, so it is off unless somebody asks for it, and critical requests never pay.

Chance is a hash of the seed, the cell, the class and the hour: the same decision is made again
when it is replayed, and a doubt that holds for minutes is not asked again every second. What is
withheld is leaving a cell, or moving a class off it; the planner still prices the risk of load.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import xxhash

from foreshard.model.plan import COIN_S, Intent, Reason
from foreshard.model.workload import Priority
from foreshard.planning.brief import Ground
from foreshard.planning.judgement import Doubt, Judgement
from foreshard.planning.phases import CellState, Phase
from foreshard.planning.policy import Policy
from foreshard.planning.shunning import Shun, Stage

__all__ = ["Withheld", "withhold"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Withheld:
    """What is left to act upon, and what was intended.

    Attributes:
        judgement: Without what is withheld.
        intents: All that was to be acted upon, with how likely that was.
        reasons: What is withheld, for people.
    """

    judgement: Judgement
    intents: tuple[Intent, ...]
    reasons: tuple[Reason, ...]


def withhold(
    judgement: Judgement,
    *,
    cells: Mapping[str, CellState],
    shuns: Mapping[tuple[str, str], Shun],
    ground: Ground,
    policy: Policy,
    now_s: float,
) -> Withheld:
    """Withhold a random part.

    Args:
        judgement: What is held against whom.
        cells: Of those that are being relieved already nothing is withheld any more.
        shuns: Likewise of classes.
        ground: Where cells stand and what is served; a cell that may serve critical requests is
            never left to fail.
        policy: How much is withheld.
        now_s: The moment.
    """
    coin = _Coin(policy=policy, now_s=now_s)
    classes = ground.classes
    intents: list[Intent] = []
    kept_cells, kept_classes = dict(judgement.cells), dict(judgement.classes)
    for name, doubt in judgement.cells.items():
        if name not in cells or cells[name].phase is not Phase.ACTIVE:
            continue
        if doubt.begins(policy.thresholds):
            cell = ground.fleet.cell(name)
            served = [c.priority for c in classes.values() if c.allows_cell(cell)]
            intents.append(coin.intent(name, "", doubt, most=min(served, default=None)))
            if not intents[-1].acted:
                del kept_cells[name]
    for pair, doubt in judgement.classes.items():
        stage = shuns[pair].stage if pair in shuns else Stage.SUSPECT
        if pair[0] not in classes or stage is not Stage.SUSPECT:
            continue
        intents.append(coin.intent(pair[1], pair[0], doubt, most=classes[pair[0]].priority))
        if not intents[-1].acted:
            del kept_classes[pair]
    return Withheld(
        judgement=replace(judgement, cells=kept_cells, classes=kept_classes),
        intents=tuple(intents),
        reasons=tuple(_reason(each, policy) for each in intents if not each.acted),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Coin:
    """One coin a cell, class and hour."""

    policy: Policy
    now_s: float

    def intent(
        self, cell: str, request_class: str, doubt: Doubt, *, most: Priority | None
    ) -> Intent:
        """What is intended, and whether it is done.

        Args:
            cell: Which cell.
            request_class: Which class in it; "" = all of them.
            doubt: Why.
            most: The most important requests that would be left there; None = there are none.
        """
        ratio = self.policy.holdout_ratio if most not in {None, Priority.CRITICAL} else 0.0
        # Written out with lengths, so that no two names run into each other.
        words = (str(self.policy.holdout_seed), str(int(self.now_s // COIN_S)), cell)
        text = "".join(f"{len(word)}:{word}" for word in (*words, request_class))
        drawn = xxhash.xxh64_intdigest(text.encode(), seed=0) / 2.0**64
        return Intent(
            cell=cell,
            request_class=request_class,
            p=doubt.p_long,
            propensity=1.0 - ratio,
            acted=drawn >= ratio,
        )


def _reason(intent: Intent, policy: Policy) -> Reason:
    what = f"{intent.request_class} would leave it" if intent.request_class else "it would be left"
    text = (
        f"{what}, which is withheld at random ({policy.holdout_ratio:.0%} are), so that what "
        "acting is worth can be told"
    )
    return Reason(subject=intent.cell, code="holdout.withheld", text=text, facts={"p": intent.p})
