"""The prompts PPO samples from: half seen in SFT, half not (ALMoST section 2.3)."""

import pyarrow as pa

from data_contracts.conversation import CONVERSATION_TYPE
from data_contracts.tables.arrow import compute as pc
from data_contracts.tables.contract import Contract, Rule, one_of, text
from data_contracts.tables.demonstrations import QUERY_SPLITS


class PolicyPrompts(Contract):
    """`context` ends with the human turn to be answered; `split` is set per query."""

    name = "policy_prompts"
    schema = pa.schema(
        [
            text("prompt_id"),
            text("query_id"),
            text("split"),
            pa.field("context", CONVERSATION_TYPE, nullable=False),
        ]
    )
    key = "prompt_id"
    rules = (
        one_of("split", QUERY_SPLITS),
        Rule("context is not empty", lambda t: pc.greater(pc.list_value_length(t["context"]), 0)),
    )
