"""Interleaved timing: each contestant runs once per round, in turn, so that a slow minute of the machine hits all."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Timing:
    """Seconds of one call, or their medians; `cpu_s` is CPU time of the whole process."""

    wall_s: float
    cpu_s: float


def timed(call: Callable[[], Any]) -> tuple[Any, Timing]:
    """The call's result and seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = call()
    return result, Timing(time.perf_counter() - wall, time.process_time() - cpu)


def interleaved(
    contestants: Mapping[str, Callable[[int], Any]], rounds: int
) -> tuple[list[dict[str, Any]], dict[str, Timing]]:
    """Run every contestant once per round, the order turned round every time.

    A contestant is called with the number of the round. Returns the results per round and the median seconds.
    """
    results: list[dict[str, Any]] = []
    timings: dict[str, list[Timing]] = {name: [] for name in contestants}
    for number in range(rounds):
        order = list(contestants) if number % 2 == 0 else list(contestants)[::-1]
        results.append({})
        for name in order:
            results[-1][name], timing = timed(lambda name=name, number=number: contestants[name](number))
            timings[name].append(timing)
    return results, {
        name: Timing(median(t.wall_s for t in found), median(t.cpu_s for t in found)) for name, found in timings.items()
    }
