"""Metrics as a person reads them: which of the flat names share a row."""

from tasks.reporting.metric_rows import MetricRow, metric_rows


def test_a_value_its_interval_and_its_items_share_a_row_in_the_order_of_the_values():
    metrics = {"queries.kept": 1800.0, "gold.A": 0.9, "gold.A.low": 0.85, "gold.A.high": 0.9449, "gold.A.n": 1200.0}
    assert metric_rows(metrics) == [
        MetricRow("queries.kept", "1,800", "", ""),
        MetricRow("gold.A", "0.900", "[0.850, 0.945]", "1,200"),
    ]


def test_parts_without_their_value_and_names_that_only_look_like_parts_keep_rows_of_their_own():
    metrics = {"lambada.low": 0.5, "n": 3.0, "judge.win": 5.0, "judge.win.low": 2.0, "loss.skipped": 1.0, "loss.n": 7.0}
    assert [row.cells() for row in metric_rows(metrics)] == [
        ("lambada.low", "0.5", "", ""),
        ("n", "3", "", ""),
        ("judge.win", "5", "", ""),
        ("judge.win.low", "2", "", ""),  # an interval has two ends
        ("loss.skipped", "1", "", ""),
        ("loss.n", "7", "", ""),
    ]
