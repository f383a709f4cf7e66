"""One kind of metric: the pattern of its dotted names, the title that a person reads, and how its value is written."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache

from models.evaluation.benchmarks.benchmark import Benchmark
from models.evaluation.benchmarks.catalogue import BENCHMARKS
from tasks.reporting.words import ALGORITHMS, REJECTIONS, model_in_words


class Shown(Enum):
    """How a value is written, by example."""

    COUNT = "1,800"
    SHARE = "76.1%"
    POINTS = "2.4 percentage points"
    FLAG = "yes"
    NUMBER = "0.264"

    def number(self, value: float) -> str:
        """The bare number, as in an interval."""
        match self:
            case Shown.COUNT:
                return f"{value:,.0f}"
            case Shown.SHARE | Shown.POINTS:
                return f"{_rounded(100 * value, 1):,.1f}"
            case Shown.FLAG:
                return "yes" if value else "no"
            case Shown.NUMBER:
                return f"{_rounded(value, 3):,.3f}"


def _groups(benchmark: Benchmark) -> set[str]:
    """The groups of items that a benchmark has figures of, apart from all."""
    return {group for _, group in benchmark.paper.columns} | set(benchmark.larger_groups.values())


UNITS = {Shown.SHARE: "%", Shown.POINTS: " percentage points"}
WORDS: dict[str, Mapping[str, str]] = {
    "rejection": REJECTIONS,
    "filtered": {
        "all": "all comparisons",
        "heuristic": "comparisons that the heuristic filter kept",
        "kept": "comparisons that every filter kept",
    },
    "axis": {
        "size": "responders that differ in size alone",
        "shots": "responders that differ in the number of shots alone",
        "demonstrations": "responders that differ in their demonstrations alone",
        "several": "responders that differ in several ways",
    },
    "apart": {"clear": "answers at least .05 apart", "slight": "answers less than .05 apart"},
    "group": {group.replace(" ", "_"): group for one in BENCHMARKS.values() for group in _groups(one)},
    "turns": {"single-turn": "single-turn", "multi-turn": "multi-turn"},
    "benchmark": {name: benchmark.title for name, benchmark in BENCHMARKS.items()},
    "failure": {
        "empty": "Empty",
        "repetitive": "Repetitive",
        "unfinished": "Unfinished",
        "off_topic": "Off-topic",
    },
    "algorithm": ALGORITHMS,
}  # placeholder -> the values it takes, in words
NAMES = {"shots": r"\d+", "member": r"\d+", "file": r"[^.|]+(?:\.(?:jsonl|json|csv|parquet|gz|txt))*"}
SUBJECTS = ("subject", "first", "second")  # a model by its role, or by its own name, which may have dots


@dataclass(frozen=True)
class Metric:
    """`pattern` and `title` share their placeholders, e.g. `failures.empty.{subject}` and `Empty answers of {subject}`."""

    pattern: str
    title: str
    shown: Shown
    unit: str = ""

    def value(self, value: float) -> str:
        """The value with its unit."""
        return f"{self.shown.number(value)}{UNITS.get(self.shown, '')}" + (f" {self.unit}" if self.unit else "")

    def named(self, name: str) -> "Metric | None":
        """This metric with the title of one name filled in; None when the name is not of its pattern."""
        found = _regex(self.pattern).fullmatch(name)
        if found is None:
            return None
        title = self.title.format(**{key: _in_words(key, value) for key, value in found.groupdict().items()})
        if title.startswith("the "):
            title = f"T{title[1:]}"
        return Metric(name, title, self.shown, self.unit)


def _in_words(placeholder: str, value: str) -> str:
    if placeholder in WORDS:
        return WORDS[placeholder][value]
    return model_in_words(value) if placeholder in SUBJECTS else value


@cache
def _regex(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", pattern)
    literals, names = parts[::2], parts[1::2]
    groups = [f"(?P<{name}>{_values(name)})" for name in names]
    return re.compile("".join(re.escape(text) + group for text, group in zip(literals, [*groups, ""], strict=True)))


def _values(placeholder: str) -> str:
    if placeholder in WORDS:
        return "|".join(map(re.escape, WORDS[placeholder]))
    return ".+?" if placeholder in SUBJECTS else NAMES[placeholder]


def _rounded(value: float, digits: int) -> float:
    """Rounded, and never -0.0."""
    return round(value, digits) + 0.0
