"""What a reward model is trained and tested on: two answers to one conversation, the better one first."""

import pyarrow as pa

from data_contracts.conversation import CONVERSATION_TYPE
from data_contracts.tables.arrow import compute as pc
from data_contracts.tables.contract import Contract, Rule, at_least, finite, not_blank, number, one_of, text
from data_contracts.tables.reward_scores import SPLITS


class PreferencePairs(Contract):
    """`context` ends with the human turn that both answers reply to; `split` says what a row is for.

    `margin` is by how much the chosen answer's score should be higher; 0 asks for nothing but the order.
    """

    name = "preference_pairs"
    version = 2
    schema = pa.schema(
        [
            text("pair_id"),
            text("query_id"),
            text("split"),
            pa.field("context", CONVERSATION_TYPE, nullable=False),
            text("chosen"),
            text("rejected"),
            number("margin"),
        ]
    )
    key = "pair_id"
    rules = (
        one_of("split", SPLITS),
        Rule("context is not empty", lambda t: pc.greater(pc.list_value_length(t["context"]), 0)),
        not_blank("chosen"),
        not_blank("rejected"),
        finite("margin"),
        at_least("margin", 0),
        Rule("chosen differs from rejected", lambda t: pc.not_equal(t["chosen"], t["rejected"])),
    )
