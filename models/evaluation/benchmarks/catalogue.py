"""The benchmarks, by name. A new one is a module with its `Benchmark` object, its template, and its name in the list here."""

import re
from functools import cache

from data_contracts.errors import ConfigError
from models.evaluation.benchmarks.benchmark import Benchmark
from models.evaluation.benchmarks.lambada import LAMBADA
from models.evaluation.benchmarks.mmlu import MMLU
from models.evaluation.benchmarks.static_hhh import STATIC_HHH
from models.evaluation.benchmarks.truthfulqa import TRUTHFULQA_MC1

# In the order of the paper's tables.
BENCHMARKS: dict[str, Benchmark] = {
    benchmark.name: benchmark for benchmark in (STATIC_HHH, TRUTHFULQA_MC1, MMLU, LAMBADA)
}
_SHOTS = re.compile(r"_\d+shot$")


def benchmark_named(name: str, field: str) -> Benchmark:
    """The benchmark of a name that `field` gives.

    Raises:
        ConfigError: there is none; the message lists those that there are.
    """
    if name not in BENCHMARKS:
        raise ConfigError(f"{field}: unknown benchmark '{name}'; known: {', '.join(BENCHMARKS)}")
    return BENCHMARKS[name]


@cache
def benchmark_of(title: str) -> Benchmark | None:
    """The benchmark of evaluated items by their `benchmark` (its name, perhaps with the number of shots).

    None for items of other evaluations: gold-judged answers, preference pairs.
    """
    return BENCHMARKS.get(_SHOTS.sub("", title))
