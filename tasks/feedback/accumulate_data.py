"""Join a new generation of data to the earlier ones. (The paper makes its data once; this is for schedules.)

Ids count per generation, so the new rows get the publication's number in front; which query is whose nearest is kept.
"""

from typing import Any

from data_contracts.store.artifact import Artifact
from data_contracts.tables.comparisons import Comparison
from data_contracts.tables.queries import EARLIER_ID, SEED_ID, Query
from tasks.runtime.step import step

ROW_IDS = ("comparison_id", "query_id", "chosen_response_id", "rejected_response_id")


@step(version="1")
def accumulate_queries(earlier: Artifact[Query], fresh: Artifact[Query], number: int) -> Artifact[Query]:
    """All queries of the earlier pool, then the new ones as `g<number>-<id>`."""
    rows = [_renamed_query(row, number) for row in read(Query, fresh).to_pylist()]
    return write(Query, Query.from_rows([*read(Query, earlier).to_pylist(), *rows]))


@step(version="1")
def accumulate_comparisons(
    earlier: Artifact[Comparison], fresh: Artifact[Comparison], number: int
) -> Artifact[Comparison]:
    """All comparisons so far, then the new ones; the ids of rows, queries and responses as `g<number>-<id>`."""
    rows = [row | {name: f"g{number}-{row[name]}" for name in ROW_IDS} for row in read(Comparison, fresh).to_pylist()]
    return write(Comparison, Comparison.from_rows([*read(Comparison, earlier).to_pylist(), *rows]))


def _renamed_query(row: dict[str, Any], number: int) -> dict[str, Any]:
    nearest = row["nearest_query_id"]
    if nearest is not None and nearest.startswith(EARLIER_ID):
        nearest = nearest.removeprefix(EARLIER_ID)
    elif nearest is not None and not nearest.startswith(SEED_ID):
        nearest = f"g{number}-{nearest}"
    return row | {"query_id": f"g{number}-{row['query_id']}", "nearest_query_id": nearest}
