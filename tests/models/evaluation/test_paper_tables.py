"""Tables in the paper's shape: own figures above with their interval, the published ones below."""

from data_contracts.tables.evaluations import EvaluatedItem, evaluated_item
from models.evaluation.paper_tables import paper_tables
from models.evaluation.statistics.aggregates import aggregate


def row(benchmark: str, subject: str, item: str, value: float | None, group: str | None = None) -> EvaluatedItem:
    return evaluated_item(benchmark, subject, item, "?", "accuracy", value, group=group)


def test_every_table_has_the_papers_columns_and_rows():
    rows = [row("static_hhh", "sft", "1", 1.0, "helpful"), row("static_hhh", "sft", "2", None, "other")]
    rows += [row("truthfulqa_mc1", "sft", "1", 0.0), row("mmlu", "sft", "a", 1.0, "anatomy")]
    rows += [row("mmlu_5shot", "sft", "a", 1.0, "anatomy"), row("lambada", "base", "1", 0.5)]
    rows += [row("preferences:own.jsonl.gz", name, "1", 1.0, "multi-turn") for name in ("rm", "longer_wins")]
    first, second, third, few_shot = paper_tables(aggregate(rows))
    assert first.columns == ("Helpful", "Harmless", "Honest", "Other", "All", "TruthfulQA MC1")
    assert first.rows[0] == (
        "sft", "100.0 [20.7, 100.0]", "", "", "not measured", "100.0 [20.7, 100.0]", "0.0 [0.0, 79.3]",
    )  # fmt: skip
    assert first.rows[1] == ("sft: items skipped", "", "", "", "1", "1", "")
    assert ("paper: ALMoST PPO 7B", "81.4", "60.3", "62.3", "72.1", "68.8", "38.0") in first.rows
    assert [own[0] for own in second.rows if not own[0].startswith("paper")] == ["sft", "base"]
    assert second.rows[0][4:6] == ("100.0 [20.7, 100.0]", "100.0 [20.7, 100.0]")
    assert ("paper: LLaMA 7B", "30.2", "31.0", "45.6", "30.1", "31.3", "72.1") in second.rows
    assert third.columns == ("helpful-base (paper)", "own, all", "own, multi-turn")
    assert [own[0] for own in third.rows[:2]] == ["rm", "longer wins"]
    assert ("paper: synthetic comparisons, 13,687 pairs", "65.2", "", "") in third.rows
    assert few_shot.title == "MMLU, 5shot"
    assert all(len(own) == len(table.columns) + 1 for table in (first, second, third, few_shot) for own in table.rows)
    assert first.markdown().splitlines()[2].startswith("|  | Helpful | Harmless |")


def test_without_figures_there_is_no_table():
    assert paper_tables([]) == []
