"""Effects from tables of evaluations: clusters by whom a question is about, absent groups stay absent."""

import pytest

from data_contracts.rows.rows import rows_of
from data_contracts.tables.comparisons import Comparison, FilterVerdict
from data_contracts.tables.effects import EffectQuestion
from data_contracts.tables.evaluations import EvaluatedItem, evaluated_item
from tasks.tiny_world.measure_effects import judge_comparisons_by_gold, measure_effects


def evaluation(subject: str, item: str, prompt: str, value: float, group: str | None = None) -> EvaluatedItem:
    return evaluated_item("gold", subject, item, prompt, "gold", value, group=group)


def question(effect: str, second: str = "low", group: str | None = None) -> EffectQuestion:
    return EffectQuestion(
        effect=effect, arm="", first="t", first_subject="high", second="t", second_subject=second, group=group
    )


def test_effects_by_hand() -> None:
    prompts = ["What is the pet of Mira?", "What is the job of Mira?", "How do I make tea?"]
    rows = [
        evaluation("high", str(i), prompt, value)
        for i, (prompt, value) in enumerate(zip(prompts, (1, 0.5, 0.9), strict=True))
    ]
    rows += [evaluation("low", str(i), prompt, 0.3) for i, prompt in enumerate(prompts)]
    asked = [question("known"), question("unknown", "nobody")]
    [effect] = measure_effects.fn(questions=asked, tables={"t": rows_of(EvaluatedItem, rows)}, seed=7)
    assert effect.effect == "known"
    assert effect.difference == pytest.approx(0.8 - 0.3)
    assert (effect.clusters, effect.first_rows, effect.second_rows) == (2, 3, 3)  # Mira, tea
    assert effect.low == pytest.approx(0.75 - 0.3)  # both clusters drawn are Mira
    assert effect.high == pytest.approx(0.9 - 0.3)


def test_a_group_is_compared_by_itself() -> None:
    prompt = "What is the pet of Mira?"
    rows = [
        evaluation(subject, f"{number}", prompt, value, group)
        for subject, values in {"high": (1.0, 0.5, 0.2), "low": (0.4, 0.1, 0.9)}.items()
        for number, (value, group) in enumerate(zip(values, ("clear", "clear", "slight"), strict=True))
    ]
    asked = [question("all"), question("clear", group="clear"), question("none", group="other")]
    made = measure_effects.fn(questions=asked, tables={"t": rows_of(EvaluatedItem, rows)}, seed=7)
    found = {effect.effect: effect for effect in made}
    assert set(found) == {"all", "clear"}, "no row is of the group 'other'"
    assert found["all"].difference == pytest.approx((1.7 - 1.4) / 3)
    assert found["clear"].difference == pytest.approx(0.75 - 0.25)
    assert (found["clear"].first_rows, found["clear"].second_rows) == (2, 2)


def comparison(chosen: str, rejected: str, words: FilterVerdict, as_is: FilterVerdict) -> Comparison:
    return Comparison(
        comparison_id=f"q1-{chosen}>{rejected}", query_id="q1", query="q1?", chosen_response_id=f"q1-{chosen}",
        rejected_response_id=f"q1-{rejected}", chosen=chosen, rejected=rejected, chosen_responder=chosen,
        rejected_responder=rejected, chosen_rank=1, rejected_rank=2, verdict_words=words, verdict_as_is=as_is,
    )  # fmt: skip


def test_agreement_counts_by_the_filters_that_a_comparison_passes() -> None:
    """A > B agrees and is kept; B > A does not, as the as-is model says; A > C is dropped by a word; B and D are alike."""
    keep, drop = FilterVerdict.KEEP, FilterVerdict.DROP
    pairs = [("A", "B", keep, keep), ("B", "A", keep, drop), ("A", "C", drop, keep), ("B", "D", keep, keep)]
    gold = [
        evaluated_item("gold_responses", name, f"q1-{name}", "q1?", "gold", value)
        for name, value in {"A": 0.9, "B": 0.5, "C": 0.1, "D": 0.5}.items()
    ]
    found = judge_comparisons_by_gold.fn(
        comparisons=rows_of(Comparison, [comparison(*pair) for pair in pairs]), gold=rows_of(EvaluatedItem, gold)
    )
    assert [(item.subject, item.item_id, item.value) for item in found] == [
        ("all", "q1-A>B", 1.0), ("all", "q1-B>A", 0.0), ("all", "q1-A>C", 1.0),
        ("heuristic", "q1-A>B", 1.0), ("heuristic", "q1-B>A", 0.0),
        ("kept", "q1-A>B", 1.0),
    ]  # fmt: skip
