"""What supervised fine-tuning reads: a context and the one response that is learnt."""

import pyarrow as pa

from data_contracts.conversation import CONVERSATION_TYPE
from data_contracts.tables.arrow import compute as pc
from data_contracts.tables.contract import Contract, Rule, not_blank, text


class TrainingConversations(Contract):
    """`context` ends with a human turn; the loss covers `response` and its end token only."""

    name = "training_conversations"
    schema = pa.schema([text("row_id"), pa.field("context", CONVERSATION_TYPE, nullable=False), text("response")])
    key = "row_id"
    rules = (
        Rule("context is not empty", lambda t: pc.greater(pc.list_value_length(t["context"]), 0)),
        not_blank("response"),
    )
