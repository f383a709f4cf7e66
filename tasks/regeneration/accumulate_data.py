"""Join a new generation of data to the earlier ones. (The paper makes its data once; this is for schedules.)

Ids count per generation, so the new rows get the publication's number in front; which query is whose nearest is kept.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain

from data_contracts.rows.rows import Rows, stream
from data_contracts.tables.comparisons import Comparison
from data_contracts.tables.queries import EARLIER_ID, SEED_ID, Query
from tasks.runtime.phases import Phase
from tasks.runtime.step import step


@step(version="2", phase=Phase.COMPARISONS)
def accumulate_queries(*, earlier: Rows[Query], fresh: Rows[Query], number: int) -> Rows[Query]:
    """All queries of the earlier pool, then the new ones as `g<number>-<id>`."""
    return stream(Query, lambda: chain(earlier, (_renamed_query(query, number) for query in fresh)))


@step(version="2", phase=Phase.COMPARISONS)
def accumulate_comparisons(*, earlier: Rows[Comparison], fresh: Rows[Comparison], number: int) -> Rows[Comparison]:
    """All comparisons so far, then the new ones; the ids of rows, queries and responses as `g<number>-<id>`."""

    def renamed() -> Iterator[Comparison]:
        for pair in fresh:
            yield replace(
                pair,
                comparison_id=f"g{number}-{pair.comparison_id}",
                query_id=f"g{number}-{pair.query_id}",
                chosen_response_id=f"g{number}-{pair.chosen_response_id}",
                rejected_response_id=f"g{number}-{pair.rejected_response_id}",
            )

    return stream(Comparison, lambda: chain(earlier, renamed()))


def _renamed_query(query: Query, number: int) -> Query:
    nearest = query.nearest_query_id
    if nearest is not None and nearest.startswith(EARLIER_ID):
        nearest = nearest.removeprefix(EARLIER_ID)
    elif nearest is not None and not nearest.startswith(SEED_ID):
        nearest = f"g{number}-{nearest}"
    return replace(query, query_id=f"g{number}-{query.query_id}", nearest_query_id=nearest)
