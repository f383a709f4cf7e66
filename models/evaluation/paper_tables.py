"""Tables in the shape of the paper's, one's own figures above, the published ones below (ALMoST Tables 1 to 4).

Cells are percentages with their interval of 95%; a figure that was not measured is an empty cell.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from data_contracts.tables.evaluations import LONGER_WINS
from models.evaluation.statistics.aggregates import ALL, Aggregate

PUBLISHED = "paper"


@dataclass(frozen=True)
class PaperTable:
    """A table for people; rows begin with their name."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def markdown(self) -> str:
        """The table in Markdown."""
        lines = [f"### {self.title}", "", _line(("", *self.columns)), _line(["---"] * (len(self.columns) + 1))]
        return "\n".join([*lines, *map(_line, self.rows)])


Key = tuple[str, str]  # benchmark, group
_SHAPES: tuple[tuple[str, tuple[tuple[str, Key], ...]], ...] = (
    (
        "Table 1: Static HHH alignment and TruthfulQA",
        (
            ("Helpful", ("static_hhh", "helpful")),
            ("Harmless", ("static_hhh", "harmless")),
            ("Honest", ("static_hhh", "honest")),
            ("Other", ("static_hhh", "other")),
            ("All", ("static_hhh", ALL)),
            ("TruthfulQA MC1", ("truthfulqa_mc1", ALL)),
        ),
    ),
    (
        "Table 2: MMLU and LAMBADA, zero-shot",
        (
            ("Humanities", ("mmlu", "humanities")),
            ("STEM", ("mmlu", "STEM")),
            ("Social sciences", ("mmlu", "social sciences")),
            ("Other", ("mmlu", "other")),
            ("All", ("mmlu", ALL)),
            ("LAMBADA", ("lambada", ALL)),
        ),
    ),
)
_PUBLISHED: tuple[dict[str, tuple[float, ...]], ...] = (
    {
        "ALMoST SFT 7B": (79.7, 56.9, 65.6, 69.8, 67.8, 31.5),
        "ALMoST PPO 7B": (81.4, 60.3, 62.3, 72.1, 68.8, 38.0),
        "ALMoST RM 7B": (74.6, 67.2, 78.7, 86.0, 76.0, 54.8),
        "Alpaca 7B": (71.2, 53.4, 62.3, 65.1, 62.9, 19.5),
        "Vicuna 7B": (79.7, 72.4, 70.5, 76.7, 74.7, 52.5),
        "Dolly-v2 12B": (67.8, 46.6, 50.7, 62.8, 56.6, 15.2),
        "Oasst-v4 12B": (59.3, 56.9, 47.5, 69.8, 57.5, 23.3),
        "Vicuna 13B": (78.0, 89.7, 70.5, 81.4, 79.6, 63.3),
    },
    {
        "LLaMA 7B": (30.2, 31.0, 45.6, 30.1, 31.3, 72.1),
        "Alpaca 7B": (40.3, 35.7, 44.4, 42.7, 40.3, 64.1),
        "ALMoST SFT 7B": (32.0, 30.9, 33.3, 30.2, 31.5, 68.0),
        "ALMoST PPO 7B": (30.4, 28.3, 29.2, 27.9, 28.9, 65.4),
    },
)
_REWARD_TABLE = "Tables 3 and 4: accuracy of reward models on preference files"
_REWARD_PUBLISHED = {
    "random": 50.0,
    "longer wins": 59.4,
    "StackExchange, 25,057 pairs": 63.7,
    "synthetic comparisons, 13,687 pairs": 65.2,
    "synthetic, without the as-is reward model": 63.3,
    "synthetic, without the heuristic filter": 55.5,
    "helpful-base, single-turn, 11,738 pairs": 65.2,
    "helpful-base, 43,835 pairs": 71.8,
}


def paper_tables(aggregates: Sequence[Aggregate]) -> list[PaperTable]:
    """The tables for which something was measured."""
    found = {(a.benchmark, a.group, a.subject): a for a in aggregates}
    subjects = list(dict.fromkeys(a.subject for a in aggregates))
    tables = []
    for (title, columns), published in zip(_SHAPES, _PUBLISHED, strict=True):
        keys = [key for _, key in columns]
        rows = [row for s in subjects for row in _rows_of(s, [found.get((*key, s)) for key in keys])]
        if rows:
            below = [(f"{PUBLISHED}: {name}", *(f"{value:.1f}" for value in row)) for name, row in published.items()]
            tables.append(PaperTable(title, tuple(name for name, _ in columns), (*rows, *below)))
    return tables + _reward_tables(aggregates) + _few_shot_tables(aggregates)


def _reward_tables(aggregates: Iterable[Aggregate]) -> list[PaperTable]:
    own = [a for a in aggregates if a.benchmark.startswith("preferences:")]
    if not own:
        return []
    files = list(dict.fromkeys(a.benchmark for a in own))
    groups = [group for group in (ALL, "single-turn", "multi-turn") if any(a.group == group for a in own)]
    found = {(a.benchmark, a.group, a.subject): a for a in own}
    columns = [(file, group) for file in files for group in groups]
    rows = [
        (
            name,
            "",
            *cells,
        )
        for subject in dict.fromkeys(a.subject for a in own)
        for name, *cells in _rows_of(
            "longer wins" if subject == LONGER_WINS else subject,
            [found.get((file, group, subject)) for file, group in columns],
        )
    ]
    names = [f"{file.removeprefix('preferences:').partition('.')[0]}, {group}" for file, group in columns]
    empty = ("",) * len(columns)
    below = [(f"{PUBLISHED}: {name}", f"{value:.1f}", *empty) for name, value in _REWARD_PUBLISHED.items()]
    return [PaperTable(_REWARD_TABLE, ("helpful-base (paper)", *names), (*rows, *below))]


def _few_shot_tables(aggregates: Iterable[Aggregate]) -> list[PaperTable]:
    """MMLU behind shots has a table of its own: the paper measured zero-shot only."""
    tables = []
    own = [a for a in aggregates if a.benchmark.startswith("mmlu_")]
    found = {(a.benchmark, a.group, a.subject): a for a in own}
    groups = ("humanities", "STEM", "social sciences", "other", ALL)
    for benchmark in dict.fromkeys(a.benchmark for a in own):
        subjects = dict.fromkeys(a.subject for a in own if a.benchmark == benchmark)
        rows = tuple(row for s in subjects for row in _rows_of(s, [found.get((benchmark, g, s)) for g in groups]))
        tables.append(PaperTable(f"MMLU, {benchmark.removeprefix('mmlu_')}", groups, rows))
    return tables


def _rows_of(name: str, figures: Sequence[Aggregate | None]) -> list[tuple[str, ...]]:
    """A row of figures, and one of how many items could not be asked, if any; none where nothing was tried.

    Apart, because pages cut wide tables off.
    """
    if not any(figures):
        return []
    rows = [(name, *map(_cell, figures))]
    if any(figure and figure.skipped for figure in figures):
        skipped = (str(figure.skipped) if figure and figure.skipped else "" for figure in figures)
        rows.append((f"{name}: items skipped", *skipped))
    return rows


def _cell(aggregate: Aggregate | None) -> str:
    if aggregate is None:
        return ""
    if aggregate.estimate is None:
        return "not measured"
    value, low, high = (100 * x for x in (aggregate.estimate.value, aggregate.estimate.low, aggregate.estimate.high))
    return f"{value:.1f} [{low:.1f}, {high:.1f}]"


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
