"""Question-and-answer pairs with community votes, for the as-is reward model (ALMoST section 2.1, StackExchange)."""

import pyarrow as pa

from data_contracts.tables.arrow import compute as pc
from data_contracts.tables.contract import Contract, Rule, integer, not_blank, text


class CommunityAnswers(Contract):
    """Two answers to one question; the one with more votes is chosen."""

    name = "community_answers"
    schema = pa.schema(
        [
            text("pair_id"),
            text("question"),
            text("chosen"),
            text("rejected"),
            integer("chosen_votes"),
            integer("rejected_votes"),
        ]
    )
    key = "pair_id"
    rules = (
        not_blank("question"),
        Rule("chosen has more votes", lambda t: pc.greater(t["chosen_votes"], t["rejected_votes"])),
    )
