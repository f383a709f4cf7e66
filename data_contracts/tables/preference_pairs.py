"""What a reward model is trained and tested on: two answers to one conversation, the better one first."""

from data_contracts.conversation import Conversation
from data_contracts.rows.arrow import compute as pc
from data_contracts.rows.row import Row
from data_contracts.rows.rules import Rule, at_least, finite, not_blank, not_empty
from data_contracts.tables.reward_scores import PairSplit


class PreferencePair(Row, table="preference_pairs", key="pair_id", version=2):
    """`context` ends with the human turn that both answers reply to; `split` says what a row is for.

    `margin` is by how much the chosen answer's score should be higher; 0 asks for nothing but the order.
    """

    pair_id: str
    query_id: str
    split: PairSplit
    context: Conversation
    chosen: str
    rejected: str
    margin: float

    rules = (
        not_empty("context"),
        not_blank("chosen"),
        not_blank("rejected"),
        finite("margin"),
        at_least("margin", 0),
        Rule("chosen differs from rejected", lambda t: pc.not_equal(t["chosen"], t["rejected"])),
    )
