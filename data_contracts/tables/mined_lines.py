"""Everything the miner said, before any check: what a resumed mining step replays (ALMoST section 2.1)."""

import pyarrow as pa

from data_contracts.tables.contract import Contract, at_least, integer, one_of, text
from data_contracts.tables.responses import FINISH_REASONS


class MinedLines(Contract):
    """One row per generation, in the order of `attempt`; `shots` are the ids of the dynamic shots it saw."""

    name = "mined_lines"
    schema = pa.schema(
        [
            text("line_id"),
            integer("attempt"),
            integer("seed"),
            pa.field("shots", pa.list_(pa.string()), nullable=False),
            text("line"),
            integer("tokens"),
            text("finish_reason"),
        ]
    )
    key = "line_id"
    rules = (at_least("attempt", 0), one_of("finish_reason", FINISH_REASONS))
