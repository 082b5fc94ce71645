from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from foreshard.lab.scenario.scenario import Family
from foreshard.lab.trial.claim import Claim, claims_on
from foreshard.lab.trial.comparison import compared
from tests.lab.trial.sample import scenario, score_of

SEEDS = range(1, 5)


def table(
    family: Family,
    harm: Mapping[str, float],
    name: str = "made",
    **own: Any,  # noqa: ANN401 - fields of a score
) -> dict[str, Any]:
    scores = {
        policy: [
            score_of(
                policy,
                bad + seed % 2,
                seed=seed,
                **(own if policy == "foreshard" else {}),
            )
            for seed in SEEDS
        ]
        for policy, bad in harm.items()
    }
    return compared(scenario(family=family, name=name), scores)


def claim(text: str, *tables: dict[str, Any]) -> Claim:
    (found,) = (each for each in claims_on(tables) if each.text.startswith(text))
    return found


HARM = {"sticky": 800.0, "outlier": 500.0, "closed-loop": 200.0, "foreshard": 50.0, "oracle": 0.0}


def test_the_best_of_each_kind_is_the_one_with_the_least_harm() -> None:
    found = table(Family.PREDICTABLE, HARM)
    assert found["averted"]["balancers"]["against"] == "outlier"
    assert found["averted"]["balancers"]["share"] == pytest.approx(0.9)
    assert found["averted"]["unforeseeing"]["against"] == "closed-loop"
    assert found["averted"]["unforeseeing"]["share"] == pytest.approx(0.75)
    assert found["against_reactive"]["against"] == "closed-loop"
    assert found["duels"]["sticky"] == {"wins": 4, "ties": 0, "losses": 0}


def test_regret_is_harm_beyond_the_oracle_s_and_beyond_the_bound() -> None:
    row = table(Family.PREDICTABLE, HARM)["policies"]["foreshard"]
    assert row["regret_oracle"] == pytest.approx(50.0 / 10_000.0)
    assert row["regret_bound"] == pytest.approx(50.5 / 10_000.0)


def test_without_an_oracle_no_averted_share_is_made_up() -> None:
    found = table(Family.PREDICTABLE, {"sticky": 800.0, "foreshard": 50.0})
    assert found["averted"]["balancers"] is None
    assert found["policies"]["foreshard"]["regret_oracle"] is None


def test_the_claims_of_the_predictable_hold_or_not_by_median_and_by_least() -> None:
    good, poor = (
        table(Family.PREDICTABLE, HARM),
        table(Family.PREDICTABLE, HARM | {"foreshard": 300.0}, name="poor"),
    )
    assert claim("averted against the best balancer policy, median", good).holds
    least = claim("averted against the best balancer policy, least", good, poor)
    assert least.holds is False
    assert least.where == ("poor",)
    assert least.value == pytest.approx(0.4)


def test_a_tie_is_shown_and_the_claim_is_judged_by_the_ratio() -> None:
    found = table(Family.UNPREDICTABLE, {"closed-loop": 1.7, "foreshard": 2.5})
    assert found["against_reactive"]["is_tie"]
    assert claim("harm by that of the best reactive", found).holds is False


def test_a_tie_that_only_some_seeds_would_show_is_none() -> None:
    harms = {"closed-loop": (0.0, 0.0, 0.0, 0.0), "foreshard": (0.0, 0.0, 0.0, 3.0)}
    scores = {
        policy: [score_of(policy, bad, seed=seed) for seed, bad in enumerate(harm)]
        for policy, harm in harms.items()
    }
    found = compared(scenario(family=Family.UNPREDICTABLE), scores)["against_reactive"]
    assert found["excess"] > 1e-4
    assert not found["is_tie"]


def test_a_claim_about_nothing_is_neither_kept_nor_broken() -> None:
    found = claims_on([table(Family.UNPREDICTABLE, HARM)])
    assert {each.holds for each in found if each.family != "unpredictable"} == {None}


def test_the_unpredictable_may_not_be_worse_than_the_best_reactive() -> None:
    text = "harm by that of the best reactive"
    assert claim(text, table(Family.UNPREDICTABLE, HARM)).holds
    worse = table(Family.UNPREDICTABLE, HARM | {"foreshard": 220.0})
    assert claim(text, worse).holds is False


def test_a_trap_holds_us_to_moving_shedding_and_harming_next_to_nothing() -> None:
    calm = {"sticky": 0.0, "foreshard": 0.0, "oracle": 0.0}
    assert all(
        each.holds for each in claims_on([table(Family.TRAP, calm)]) if each.family == "trap"
    )
    for text, field, value in (
        ("traffic moved needlessly", "displaced_ratio", 0.011),
        ("weighted demand harmed", "own_harm", 10.1),
        ("needless shed", "shed", 1.0),
        ("false evacuations", "evacuations", 1),
    ):
        changes: dict[str, Any] = {field: value}
        broken = table(Family.TRAP, calm, **changes)
        assert claim(text, broken).holds is False, text
        assert claim(text, broken).where == ("made",), text
