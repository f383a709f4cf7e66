"""The outputs of a step that runs beside others."""

from collections.abc import Callable
from typing import Generic, TypeVar

R = TypeVar("R")


class StepFuture(Generic[R]):
    """The outputs of a step that runs beside others."""

    def __init__(self, wait: Callable[[], R]) -> None:
        self._wait = wait

    def result(self) -> R:
        """Wait and return the outputs; raises what the step raised."""
        return self._wait()
