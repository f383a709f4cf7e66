"""Entrypoints of the deployments: `flows.running.heavy_steps.NAME` is the flow of the heavy step called NAME."""

from functools import cache
from typing import Any

from flows.running.pool import as_flow
from tasks.runtime.registry import heavy_steps


@cache
def __getattr__(name: str) -> Any:
    """The flow of a heavy step."""
    step = heavy_steps().get(name)
    if step is None:
        raise AttributeError(f"{name} is no heavy step; they are {', '.join(heavy_steps())}")
    return as_flow(step)
