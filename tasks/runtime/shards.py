"""Long steps in shards: a shard is computed and stored whole, and a rerun computes only the missing ones."""

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from data_contracts.rows.row import Row
from data_contracts.rows.rows import Sharded
from data_contracts.store.manifest import Part
from data_contracts.store.stored import StoredShards
from tasks.runtime.context import count, current

R = TypeVar("R", bound=Row)


class Shards(Generic[R]):
    """The shards of one table of the running step, asked for in order; in memory where no step is running."""

    def __init__(self, row: type[R]) -> None:
        self._row = row
        context = current()
        self._step, self._store = context.step, context.store
        self._parts: list[Part] = []
        self._computed: list[Sequence[R]] = []

    def ensure(self, compute: Callable[[], Sequence[R]]) -> None:
        """Have the next shard: found in the store, or computed and stored."""
        if self._step is None or self._store is None:
            self._computed.append(compute())
            return
        number = len(self._parts)
        part = self._store.find_shard(self._row, self._step.key, number)
        if part is None:
            part = self._store.write_shard(self._row, self._step.key, number, self._row.to_table(compute()))
            count(shards_computed=1)
        else:
            count(shards_found=1)
        self._parts.append(part)

    def rows(self, compute: Callable[[], Sequence[R]]) -> list[R]:
        """As `ensure`, and the shard's rows."""
        self.ensure(compute)
        if self._step is None or self._store is None:
            return list(self._computed[-1])
        return list(self._row.from_table(self._store.read_shard(self._row, self._step.key, self._parts[-1])))

    def finished(self) -> Sharded[R]:
        """All shards as a step's output."""
        if self._step is None or self._store is None:
            return Sharded(self._row, self._computed)
        return StoredShards(self._row, self._step.key, self._parts, self._store)


def compute_shards(
    row: type[R],
    ranges: Sequence[range],
    compute: Callable[[range], Sequence[R]],
    report: Callable[[int], None] = lambda done: None,
) -> Sharded[R]:
    """Compute and store the shards that the store does not hold.

    `compute(numbers)` gives the rows of one shard; `report(done)` is called after each shard, found or computed, with the
    number of input rows that are done.
    """
    shards = Shards(row)
    for numbers in ranges:
        shards.ensure(lambda numbers=numbers: compute(numbers))
        report(numbers.stop)
    return shards.finished()
