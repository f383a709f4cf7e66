"""What mining leaves behind, or a file of one's own queries in its place."""

from data_contracts.store.artifact import Artifact
from data_contracts.tables.mined_lines import MinedLines
from data_contracts.tables.queries import Queries, RejectedQueries
from tasks.runtime.step import Outputs


class MinedQueries(Outputs):
    """Kept queries, those turned away, and all that a miner said: nothing where there was none."""

    queries: Artifact[Queries]
    rejected: Artifact[RejectedQueries]
    lines: Artifact[MinedLines]
