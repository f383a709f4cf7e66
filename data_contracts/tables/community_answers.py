"""Question-and-answer pairs with community votes, for the as-is reward model (ALMoST section 2.1, StackExchange)."""

from data_contracts.rows.arrow import compute as pc
from data_contracts.rows.row import Row
from data_contracts.rows.rules import Rule, not_blank


class CommunityAnswer(Row, table="community_answers", key="pair_id"):
    """Two answers to one question; the one with more votes is chosen."""

    pair_id: str
    question: str
    chosen: str
    rejected: str
    chosen_votes: int
    rejected_votes: int

    rules = (
        not_blank("question"),
        Rule("chosen has more votes", lambda t: pc.greater(t["chosen_votes"], t["rejected_votes"])),
    )
