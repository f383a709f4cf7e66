"""Everything the miner said, before any check: what a resumed mining step replays (ALMoST section 2.1)."""

from data_contracts.finish_reason import FinishReason
from data_contracts.rows.row import Row
from data_contracts.rows.rules import at_least


class MinedLine(Row, table="mined_lines", key="line_id"):
    """One row per generation, in the order of `attempt`; `shots` are the ids of the dynamic shots it saw."""

    line_id: str
    attempt: int
    seed: int
    shots: tuple[str, ...]
    line: str
    tokens: int
    finish_reason: FinishReason

    rules = (at_least("attempt", 0),)
