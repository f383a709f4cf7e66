"""Metrics as a person reads them: which of the flat names share a row, and how values are written."""

import pytest

from tasks.reporting.metric_rows import MetricRow, metric_rows


def test_a_value_its_interval_and_its_items_share_a_row_in_the_order_of_the_values():
    metrics = {
        "queries.kept": 1800.0, "gold_responses.A": 0.9, "gold_responses.A.low": 0.85, "gold_responses.A.high": 0.9449,
        "gold_responses.A.n": 1200.0,
    }  # fmt: skip
    kept, gold = metric_rows(metrics)
    assert kept == MetricRow("Mined queries that were kept", "1,800", "", "")
    title = "Mean score by the tiny world's judge, answers of responder A"
    assert gold == MetricRow(title, "90.0%", "[85.0, 94.5]", "1,200")
    assert gold.sentence() == f"{title}: 90.0% [85.0, 94.5] of 1,200"
    assert kept.sentence() == "Mined queries that were kept: 1,800"


def test_parts_without_their_value_and_names_that_only_look_like_parts_keep_rows_of_their_own():
    metrics = {"strange.low": 0.5, "n": 3.0, "odd.win": 5.0, "odd.win.low": 2.0, "loss.skipped": 1.0, "loss.n": 7.0}
    assert [row.cells() for row in metric_rows(metrics)] == [
        ("Strange, low", "0.500", "", ""),
        ("N", "3.000", "", ""),
        ("Odd, win", "5.000", "", ""),
        ("Odd, win, low", "2.000", "", ""),  # an interval has two ends
        ("Loss, skipped", "1.000", "", ""),
        ("Loss, n", "7.000", "", ""),
    ]


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("ppo.kl.last", -0.0260153915733099, "-0.026 nats per answer"),
        ("ppo.kl.last", -0.0001, "0.000 nats per answer"),  # no -0.000
        ("reward_card.ece", 0.4893, "48.9 percentage points"),
        ("tax.mmlu.sft", -0.024, "-2.4 percentage points"),
        ("reward_card.flag.collapsed", 1.0, "yes"),
        ("reward_card.flag.collapsed", 0.0, "no"),
        ("reward_card.brier", 0.23944, "0.239"),
    ],
)
def test_a_value_has_its_unit(name: str, value: float, shown: str):
    (row,) = metric_rows({name: value})
    assert row.value == shown
