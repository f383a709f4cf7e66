"""`almost results` on one seed of the mini profile: every arm runs, the page tells all of them, a second run finds them."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from data_contracts.tables.effects import Effect
from deployments.cli.results_page import GOALS
from tests.flows.command import MINI, Command, digests, outputs_of

pytestmark = [pytest.mark.flow, pytest.mark.slow]

SETTINGS = (
    "world.questions_per_split=24",
    "evaluation.questions=24",
    "models.likelihood=tiny:large",
    "policy.samples_per_prompt=2",
)
# Names and arms that the page of a whole study has, with how many rows each has.
ROWS = {
    "best - worst responder": 2,
    "size: large - mid (3 shots)": 2,
    "size: mid - small (3 shots)": 2,
    "demonstrations: good - average (large, 3 shots)": 1,
    "shots: 5 - 1 (large, average)": 1,
    "shots: 3 - 0 (small, average)": 1,
    "filter: agreement with gold, kept - all": 4,
    "reward model - longer wins (pair accuracy)": 8,
    "reward model - longer wins (pairs with gold .05 apart or more)": 8,
    "reward model - as-is reward model (pair accuracy)": 4,
    "reward model with likelihood - plain (pair accuracy)": 4,
    "data: RMSP - self-play": 3,
    "data: chosen - its candidates": 2,
    "SFT: on RMSP - on self-play": 2,
    "SFT on RMSP - its base": 2,
    "PPO - its SFT start": 5,
}


def found(rows: list[dict[str, Any]], effect: str) -> int:
    return sum(row["effect"] == effect for row in rows)


def test_one_seed_of_the_study(almost: Command, tmp_path: Path) -> None:
    home, page = tmp_path / "home", tmp_path / "page.md"
    changes = [part for setting in SETTINGS for part in ("--set", setting)]
    command = ["results", "--profile", str(MINI), "--seeds", "11", "--home", str(home), "--page", str(page), *changes]
    done = almost.run(*command)
    assert done.returncode == 0, done.stdout

    (folder,) = outputs_of(home, "measure_effects")
    rows = Effect.read_parts(sorted(folder.glob("part-*.parquet"))).to_pylist()
    # Models as bad as these may keep no pair, or make none that differ in gold: then the log says that a row is missing.
    untold = {effect: done.stdout.count(f"nothing to compare for '{effect}'") for effect in ROWS}
    assert {effect: found(rows, effect) + untold[effect] for effect in ROWS} == ROWS
    assert all(effect.startswith(("filter", "reward model")) for effect in ROWS if untold[effect])
    assert {row["effect"] for row in rows} <= set(ROWS)
    assert {goal.effect for goal in GOALS} <= set(ROWS)
    assert all(row["low"] - 1e-9 <= row["difference"] <= row["high"] + 1e-9 for row in rows)

    best = next(row for row in rows if row["effect"] == "best - worst responder" and not row["arm"])
    gold = {}
    for judged in outputs_of(home, "judge_model_by_gold"):
        table = pq.read_table(sorted(judged.glob("part-*.parquet"))).to_pylist()
        gold.setdefault(table[0]["subject"], []).append(sum(row["value"] for row in table) / len(table))
    assert min(abs(mean - best["first_mean"]) for mean in gold["A"]) < 1e-9
    assert min(abs(mean - best["second_mean"]) for mean in gold["C"]) < 1e-9

    text, made = page.read_text(), digests(home)
    assert all(text.count(f"| {effect}") == found(rows, effect) for effect in ROWS)
    page.unlink()
    again = almost.run(*command)
    assert again.returncode == 0, again.stdout
    assert page.read_text() == text
    assert digests(home) == made, "nothing was computed twice"
