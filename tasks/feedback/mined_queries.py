"""What mining leaves behind, or a file of one's own queries in its place."""

from data_contracts.rows.rows import Rows
from data_contracts.tables.mined_lines import MinedLine
from data_contracts.tables.queries import Query, RejectedQuery
from tasks.runtime.outputs import Outputs


class MinedQueries(Outputs):
    """Kept queries, those turned away, and all that a miner said: nothing where there was none."""

    queries: Rows[Query]
    rejected: Rows[RejectedQuery]
    lines: Rows[MinedLine]
