"""Tables in the shape of the paper's, one's own figures above, the published ones below (ALMoST Tables 1 to 4).

Cells are percentages with their interval of 95%; a figure that was not measured is an empty cell.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from data_contracts.tables.evaluations import LONGER_WINS
from models.evaluation.benchmarks.benchmark import ALL, Benchmark, paper_layout
from models.evaluation.benchmarks.catalogue import BENCHMARKS, benchmark_of
from models.evaluation.benchmarks.preferences import MULTI_TURN, SINGLE_TURN, TITLE_PREFIX
from models.evaluation.statistics.aggregates import Aggregate

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
    for title, benchmarks in paper_layout(tuple(BENCHMARKS.values())).items():
        columns = [(one.name, heading, group) for one in benchmarks for heading, group in one.paper.columns]
        rows = [
            row
            for subject in subjects
            for row in _rows_of(subject, [found.get((name, group, subject)) for name, _, group in columns])
        ]
        if rows:
            headings = tuple(heading for _, heading, _ in columns)
            tables.append(PaperTable(title, headings, (*rows, *_published_rows(benchmarks))))
    return tables + _reward_tables(aggregates) + _few_shot_tables(aggregates)


def _published_rows(benchmarks: Sequence[Benchmark]) -> list[tuple[str, ...]]:
    """The paper's figures by model, the benchmarks' side by side."""
    models = dict.fromkeys(model for one in benchmarks for model in one.paper.published)
    return [
        (f"{PUBLISHED}: {model}", *(cell for one in benchmarks for cell in _published(one, model))) for model in models
    ]


def _published(benchmark: Benchmark, model: str) -> list[str]:
    figures = benchmark.paper.published.get(model)
    return [""] * len(benchmark.paper.columns) if figures is None else [f"{figure:.1f}" for figure in figures]


def _reward_tables(aggregates: Iterable[Aggregate]) -> list[PaperTable]:
    own = [a for a in aggregates if a.benchmark.startswith(TITLE_PREFIX)]
    if not own:
        return []
    files = list(dict.fromkeys(a.benchmark for a in own))
    groups = [group for group in (ALL, SINGLE_TURN, MULTI_TURN) if any(a.group == group for a in own)]
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
    names = [f"{file.removeprefix(TITLE_PREFIX).partition('.')[0]}, {group}" for file, group in columns]
    empty = ("",) * len(columns)
    below = [(f"{PUBLISHED}: {name}", f"{value:.1f}", *empty) for name, value in _REWARD_PUBLISHED.items()]
    return [PaperTable(_REWARD_TABLE, ("helpful-base (paper)", *names), (*rows, *below))]


def _few_shot_tables(aggregates: Iterable[Aggregate]) -> list[PaperTable]:
    """A benchmark behind shots has a table of its own: the paper measured zero-shot only."""
    own = [a for a in aggregates if a.benchmark not in BENCHMARKS and benchmark_of(a.benchmark)]
    found = {(a.benchmark, a.group, a.subject): a for a in own}
    tables = []
    for name in dict.fromkeys(a.benchmark for a in own):
        benchmark = benchmark_of(name)
        assert benchmark is not None
        groups = tuple(group for _, group in benchmark.paper.columns)
        subjects = dict.fromkeys(a.subject for a in own if a.benchmark == name)
        rows = tuple(row for s in subjects for row in _rows_of(s, [found.get((name, g, s)) for g in groups]))
        shots = name.removeprefix(f"{benchmark.name}_")
        tables.append(PaperTable(f"{benchmark.title}, {shots}", groups, rows))
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
