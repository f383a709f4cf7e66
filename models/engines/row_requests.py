"""Requests for many rows, a bounded number at once; a fault of the whole server ends them, what is done is kept."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from data_contracts.errors import TransientEngineError

T = TypeVar("T")


def for_each_row(rows: int, concurrency: int, request: Callable[[int], T]) -> list[T]:
    """`request(row)` of every row, in order.

    Raises:
        EngineError: what a request raised, one that will not pass by itself before one that may; rows not yet sent
            when the first was raised are never sent.
    """
    stop = threading.Event()

    def one(row: int) -> list[T]:
        if stop.is_set():
            return []
        try:
            return [request(row)]
        except BaseException:
            stop.set()
            raise

    with ThreadPoolExecutor(concurrency) as pool:
        futures = [pool.submit(one, row) for row in range(rows)]
    errors = [error for error in (future.exception() for future in futures) if error is not None]
    if errors:
        raise next((error for error in errors if not isinstance(error, TransientEngineError)), errors[0])
    results = [result for future in futures for result in future.result()]
    assert len(results) == rows
    return results
