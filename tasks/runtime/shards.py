"""Long steps in shards: a shard is computed and stored whole, and a rerun computes only the missing ones."""

from collections.abc import Callable
from typing import Any

from data_contracts.store.manifest import Part
from data_contracts.tables.contract import Contract
from tasks.runtime.step_context import active_store, count


def shard_ranges(rows: int, shard_rows: int) -> list[tuple[int, int]]:
    """Half-open row ranges of the shards; at least one, so that an empty table is a table too."""
    return [(start, min(start + shard_rows, rows)) for start in range(0, rows, shard_rows)] or [(0, 0)]


def write_missing_shards(
    contract: type[Contract],
    key: str,
    shards: int,
    compute: Callable[[int], list[dict[str, Any]]],
    finished: Callable[[int], None],
) -> list[Part]:
    """Compute and store the shards that the store does not hold; all parts in order.

    `compute(shard)` gives the shard's rows; `finished(shard)` is called after each, found or computed.
    """
    store = active_store()
    parts = []
    for shard in range(shards):
        part = store.find_shard(contract, key, shard)
        if part is None:
            part = store.write_shard(contract, key, shard, contract.from_rows(compute(shard)))
            count(shards_computed=1)
        else:
            count(shards_found=1)
        parts.append(part)
        finished(shard)
    return parts
