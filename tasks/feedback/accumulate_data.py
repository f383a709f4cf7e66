"""Join a new generation of data to the earlier ones. (The paper makes its data once; this is for schedules.)

Ids count per generation, so the new rows get the publication's number in front; which query is whose nearest is kept.
"""

from typing import Any

from data_contracts.store.artifact import Artifact
from data_contracts.tables.comparisons import Comparisons
from data_contracts.tables.queries import EARLIER_ID, SEED_ID, Queries
from tasks.runtime.step import step
from tasks.runtime.step_context import read, write

ROW_IDS = ("comparison_id", "query_id", "chosen_response_id", "rejected_response_id")


@step(version="1")
def accumulate_queries(earlier: Artifact[Queries], fresh: Artifact[Queries], number: int) -> Artifact[Queries]:
    """All queries of the earlier pool, then the new ones as `g<number>-<id>`."""
    rows = [_renamed_query(row, number) for row in read(Queries, fresh).to_pylist()]
    return write(Queries, Queries.from_rows([*read(Queries, earlier).to_pylist(), *rows]))


@step(version="1")
def accumulate_comparisons(
    earlier: Artifact[Comparisons], fresh: Artifact[Comparisons], number: int
) -> Artifact[Comparisons]:
    """All comparisons so far, then the new ones; the ids of rows, queries and responses as `g<number>-<id>`."""
    rows = [row | {name: f"g{number}-{row[name]}" for name in ROW_IDS} for row in read(Comparisons, fresh).to_pylist()]
    return write(Comparisons, Comparisons.from_rows([*read(Comparisons, earlier).to_pylist(), *rows]))


def _renamed_query(row: dict[str, Any], number: int) -> dict[str, Any]:
    nearest = row["nearest_query_id"]
    if nearest is not None and nearest.startswith(EARLIER_ID):
        nearest = nearest.removeprefix(EARLIER_ID)
    elif nearest is not None and not nearest.startswith(SEED_ID):
        nearest = f"g{number}-{nearest}"
    return row | {"query_id": f"g{number}-{row['query_id']}", "nearest_query_id": nearest}
