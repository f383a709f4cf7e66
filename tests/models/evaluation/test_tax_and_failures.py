"""Alignment tax and failures of form, by hand."""

import pytest

from data_contracts.finish_reason import FinishReason
from data_contracts.tables.evaluations import EvaluatedItem, evaluated_item
from data_contracts.tables.verdicts import ModelAnswer
from models.evaluation.alignment_tax import BASES, alignment_tax, tax_table
from models.evaluation.generation_failures import failure_rates, failure_table, is_repetitive, is_unfinished


def row(subject: str, item: str, value: float | None, benchmark: str = "mmlu") -> EvaluatedItem:
    return evaluated_item(benchmark, subject, item, "?", "accuracy", value)


def test_the_tax_is_paired():
    """Base 1 1 0 -, SFT 1 0 0 1: of three common items one was lost."""
    rows = [row("base", "a", 1.0), row("base", "b", 1.0), row("base", "c", 0.0), row("base", "d", None)]
    rows += [row("sft", "a", 1.0), row("sft", "b", 0.0), row("sft", "c", 0.0), row("sft", "d", 1.0)]
    rows += [row("sft", "a", 1.0, "static_hhh"), row("ppo", "z", 1.0), row("sft", "a", 1.0, "lambada")]
    taxes = alignment_tax(rows, BASES)
    assert set(taxes) == {("mmlu", "sft")}
    assert (taxes["mmlu", "sft"].value, taxes["mmlu", "sft"].items) == (pytest.approx(1 / 3), 3)


def test_the_tax_by_size():
    """Two families: the small one lost one item of two, the large one gained one of two."""
    rows = [row("s", "a", 1.0), row("s", "b", 0.0), row("s+", "a", 0.0), row("s+", "b", 0.0)]
    rows += [row("l", "a", 0.0), row("l", "b", 0.0), row("l+", "a", 1.0), row("l+", "b", 0.0)]
    bases = {"l+": "l", "s+": "s"}
    table = tax_table(alignment_tax(rows, bases), bases, {"l+": 7_000_000_000, "s+": 260_032})
    assert table is not None
    assert table.columns == ("parameters", "mmlu")
    small, large, *paper = table.rows
    assert (small[0], small[1], small[2].split()[0]) == ("s+, from s", "260k", "50.0")
    assert (large[0], large[1], large[2].split()[0]) == ("l+, from l", "7B", "-50.0")
    assert ("paper: ALMoST PPO 7B", "7B", "2.4") in paper
    assert tax_table({}, bases, {}) is None


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
    assert is_unfinished(answer, FinishReason(reason)) is unfinished


def answered(text: str, reason: FinishReason = FinishReason.END) -> ModelAnswer:
    return ModelAnswer(
        answer_id=text, subject="sft", question_id=text, category=None, question="?", answer=text, tokens=1,
        finish_reason=reason, seed=1,
    )  # fmt: skip


def test_rates():
    answers = [
        answered(" "),
        answered("Fine."),
        answered("well well well well well well", FinishReason.LENGTH),
        answered("and"),
    ]
    rates = {name: found.value for name, found in failure_rates(answers).items()}
    assert rates == {"empty": 0.25, "repetitive": 0.25, "unfinished": 0.5}
    assert failure_rates([]) == {}
    found = failure_rates(answers, [True, False])
    assert found["off_topic"].value == 0.5
    table = failure_table({"sft": found, "ppo": failure_rates(answers)})
    assert table is not None
    assert table.columns == ("empty", "repetitive", "unfinished", "off topic")
    assert table.rows[1][-1] == "not measured"
    assert failure_table({}) is None
