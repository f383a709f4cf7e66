"""The prompts PPO samples from: half seen in SFT, half not (ALMoST section 2.3)."""

from data_contracts.conversation import Conversation
from data_contracts.rows.row import Row
from data_contracts.rows.rules import not_empty
from data_contracts.tables.demonstrations import QuerySplit


class PolicyPrompt(Row, table="policy_prompts", key="prompt_id"):
    """`context` ends with the human turn to be answered; `split` is set per query."""

    prompt_id: str
    query_id: str
    split: QuerySplit
    context: Conversation

    rules = (not_empty("context"),)
