"""Alignment tax and failures of form, by hand."""

import pytest

from models.evaluation.alignment_tax import alignment_tax
from models.evaluation.generation_failures import failure_rates, is_repetitive, is_unfinished


def row(subject: str, item: str, value: float | None, benchmark: str = "mmlu") -> dict[str, object]:
    return {"benchmark": benchmark, "subject": subject, "item_id": item, "value": value}


def test_the_tax_is_paired():
    """Base 1 1 0 -, SFT 1 0 0 1: of three common items one was lost."""
    rows = [row("base", "a", 1.0), row("base", "b", 1.0), row("base", "c", 0.0), row("base", "d", None)]
    rows += [row("sft", "a", 1.0), row("sft", "b", 0.0), row("sft", "c", 0.0), row("sft", "d", 1.0)]
    rows += [row("sft", "a", 1.0, "static_hhh"), row("ppo", "z", 1.0), row("sft", "a", 1.0, "lambada")]
    taxes = alignment_tax(rows)
    assert set(taxes) == {("mmlu", "sft")}
    assert (taxes["mmlu", "sft"].value, taxes["mmlu", "sft"].items) == (pytest.approx(1 / 3), 3)


@pytest.mark.parametrize(
    ("answer", "repetitive"),
    [
        ("I like tea and jam. I like tea and milk. I like tea and more.", True),
        ("I like tea and jam. I like tea and milk.", False),
        ("no no no no no no", True),
        ("", False),
    ],
)
def test_repetition(answer: str, repetitive: bool):
    assert is_repetitive(answer) is repetitive


@pytest.mark.parametrize(
    ("answer", "reason", "unfinished"),
    [("Done.", "end", False), ("Done.", "length", True), ("and then", "stop", True), ('He said "yes"', "end", False)],
)
def test_unfinished(answer: str, reason: str, unfinished: bool):
    assert is_unfinished(answer, reason) is unfinished


def test_rates():
    answers = [
        {"answer": " ", "finish_reason": "end"},
        {"answer": "Fine.", "finish_reason": "end"},
        {"answer": "well well well well well well", "finish_reason": "length"},
        {"answer": "and", "finish_reason": "end"},
    ]
    rates = {name: found.value for name, found in failure_rates(answers).items()}
    assert rates == {"empty": 0.25, "repetitive": 0.25, "unfinished": 0.5}
    assert failure_rates([]) == {}
