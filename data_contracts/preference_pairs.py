"""What a reward model is trained and tested on: two answers to one conversation, the better one first."""

import pyarrow as pa

from data_contracts.arrow import compute as pc
from data_contracts.contract import Contract, Rule, not_blank, one_of, text
from data_contracts.conversation import CONVERSATION_TYPE
from data_contracts.reward_scores import SPLITS


class PreferencePairs(Contract):
    """`context` ends with the human turn that both answers reply to; `split` says what a row is for."""

    name = "preference_pairs"
    schema = pa.schema(
        [
            text("pair_id"),
            text("query_id"),
            text("split"),
            pa.field("context", CONVERSATION_TYPE, nullable=False),
            text("chosen"),
            text("rejected"),
        ]
    )
    key = "pair_id"
    rules = (
        one_of("split", SPLITS),
        Rule("context is not empty", lambda t: pc.greater(pc.list_value_length(t["context"]), 0)),
        not_blank("chosen"),
        not_blank("rejected"),
        Rule("chosen differs from rejected", lambda t: pc.not_equal(t["chosen"], t["rejected"])),
    )
