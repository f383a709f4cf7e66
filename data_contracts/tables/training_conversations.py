"""What supervised fine-tuning reads: a context and the one response that is learnt."""

from data_contracts.conversation import Conversation
from data_contracts.rows.row import Row
from data_contracts.rows.rules import not_blank, not_empty


class TrainingConversation(Row, table="training_conversations", key="row_id"):
    """`context` ends with a human turn; the loss covers `response` and its end token only."""

    row_id: str
    context: Conversation
    response: str

    rules = (
        not_empty("context"),
        not_blank("response"),
    )
