from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from foreshard.lab.scenario.scenario import Family
from foreshard.lab.trial.claim import claims_on
from foreshard.lab.trial.comparison import compared
from foreshard.lab.trial.scoreboard import page_of_board
from tests.lab.trial.sample import scenario, score_of

HARM = {"sticky": 800.0, "outlier": 500.0, "foreshard": 50.0, "oracle": 0.0}


def table(family: Family, harm: Mapping[str, float], **own: int) -> dict[str, Any]:
    return compared(
        scenario(family=family, name=f"a-{family}"),
        {
            policy: [
                score_of(policy, bad, seed=seed, **(own if policy == "foreshard" else {}))
                for seed in (1, 2, 3)
            ]
            for policy, bad in harm.items()
        },
    )


def page(*tables: dict[str, Any], **changes: object) -> str:
    return page_of_board(
        {
            "made_at": "today",
            "command": "foreshard lab scoreboard",
            "edition": "0-0",
            "policies": list(tables[0]["policies"]),
            "seeds": [1, 2, 3],
            "tables": tables,
            "claims": [asdict(each) for each in claims_on(tables)],
            "ablations": None,
            "failed": [],
            **changes,
        }
    )


def test_the_best_of_a_row_is_marked_and_the_oracle_is_out_of_the_race() -> None:
    assert "| `a-predictable` | 8 % | 5 % | **0.5 %** | 0 % |" in page(
        table(Family.PREDICTABLE, HARM)
    )


def test_where_another_did_better_is_said() -> None:
    text = page(table(Family.UNPREDICTABLE, HARM | {"foreshard": 600.0}))
    assert "- `a-unpredictable`: 6 % bad, where `outlier` has 5 %." in text


def test_an_oracle_that_is_beaten_is_said() -> None:
    text = page(table(Family.PREDICTABLE, HARM | {"oracle": 700.0}))
    assert "- `a-predictable`: `outlier` beats the oracle, so that averted shares flatter." in text


def test_what_was_done_for_nothing_is_said() -> None:
    calm = dict.fromkeys(HARM, 0.0)
    text = page(table(Family.TRAP, calm, evacuations=1))
    assert "- `a-trap`: 3 false evacuations, 0 % of the traffic moved needlessly." in text
    assert "Nowhere, by the rules of this page." in page(table(Family.TRAP, calm))


def test_what_could_not_be_played_is_said() -> None:
    text = page(
        table(Family.PREDICTABLE, HARM), failed=[{"run": "a, sticky", "because": "it fell over"}]
    )
    assert "- Not played: a, sticky: it fell over" in text


def test_an_ablation_says_where_what_is_missing_is_missed_most() -> None:
    flown = table(Family.PREDICTABLE, HARM | {"foreshard-whole": 250.0, "foreshard-alone": 50.0})
    lacks = {"foreshard-whole": "half before whole", "foreshard-alone": "contrast"}
    ablations = {"seeds": [1], "lacks": lacks, "tables": [flown]}
    rows = page(table(Family.PREDICTABLE, HARM), ablations=ablations).splitlines()
    assert any(
        row.startswith("| half before whole | 2.5 %")
        and row.endswith("| `a-predictable`, 2 % more |")
        for row in rows
    )
    assert any(row.startswith("| contrast | 0.5 %") and row.endswith("|  |") for row in rows)
