"""Effects from tables of evaluations: clusters by whom a question is about, absent groups stay absent."""

from collections.abc import Callable
from typing import Any

import pytest

from data_contracts.store.artifact_store import Store
from data_contracts.tables.effects import Effect, EffectQuestion
from data_contracts.tables.evaluations import EvaluatedItem, evaluation_row
from tasks.tiny_world.measure_effects import measure_effects

Commit = Callable[..., Any]


def evaluation(subject: str, item: str, prompt: str, value: float, group: str | None = None) -> dict[str, Any]:
    return evaluation_row("gold", subject, item, prompt, "gold", value, group=group)


def question(effect: str, second: str = "low", group: str | None = None) -> EffectQuestion:
    return EffectQuestion(
        effect=effect, arm="", first="t", first_subject="high", second="t", second_subject=second, group=group
    )


def test_effects_by_hand(commit: Commit, compute: Callable[..., Any], store: Store) -> None:
    prompts = ["What is the pet of Mira?", "What is the job of Mira?", "How do I make tea?"]
    rows = [
        evaluation("high", str(i), prompt, value)
        for i, (prompt, value) in enumerate(zip(prompts, (1, 0.5, 0.9), strict=True))
    ]
    rows += [evaluation("low", str(i), prompt, 0.3) for i, prompt in enumerate(prompts)]
    table = commit(EvaluatedItem, rows)
    made = compute(measure_effects, [question("known"), question("unknown", "nobody")], {"t": table}, 7)
    [effect] = store.read(Effect, made).to_pylist()
    assert effect["effect"] == "known"
    assert effect["difference"] == pytest.approx(0.8 - 0.3)
    assert (effect["clusters"], effect["first_rows"], effect["second_rows"]) == (2, 3, 3)  # Mira, tea
    assert effect["low"] == pytest.approx(0.75 - 0.3)  # both clusters drawn are Mira
    assert effect["high"] == pytest.approx(0.9 - 0.3)


def test_a_group_is_compared_by_itself(commit: Commit, compute: Callable[..., Any], store: Store) -> None:
    prompt = "What is the pet of Mira?"
    rows = [
        evaluation(subject, f"{number}", prompt, value, group)
        for subject, values in {"high": (1.0, 0.5, 0.2), "low": (0.4, 0.1, 0.9)}.items()
        for number, (value, group) in enumerate(zip(values, ("clear", "clear", "slight"), strict=True))
    ]
    asked = [question("all"), question("clear", group="clear"), question("none", group="other")]
    made = compute(measure_effects, asked, {"t": commit(EvaluatedItem, rows)}, 7)
    found = {row["effect"]: row for row in store.read(Effect, made).to_pylist()}
    assert set(found) == {"all", "clear"}, "no row is of the group 'other'"
    assert found["all"]["difference"] == pytest.approx((1.7 - 1.4) / 3)
    assert found["clear"]["difference"] == pytest.approx(0.75 - 0.25)
    assert (found["clear"]["first_rows"], found["clear"]["second_rows"]) == (2, 2)
