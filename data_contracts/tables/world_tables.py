"""Tables the tiny world hands out: questions with their split, follow-ups and critiques."""

from data_contracts.rows.row import Row
from data_contracts.rows.rules import at_least, not_blank, one_of

WORLD_SPLITS = ("train", "dev", "test")


class WorldQuestion(Row, table="world_questions", key="question_id"):
    """Questions about the world; names of one split never occur in another."""

    question_id: str
    split: str
    kind: str
    question: str

    rules = (one_of("split", WORLD_SPLITS), not_blank("question"))


class FollowUp(Row, table="follow_ups", key="follow_up_id"):
    """What a curious human may say after an answer."""

    follow_up_id: str
    question: str
    answer: str
    follow_up: str

    rules = (not_blank("follow_up"),)


class Critique(Row, table="critiques", key="critique_id"):
    """Judgments in words of question-answer pairs, for CUT; a null judgment means that nothing is wrong."""

    critique_id: str
    question: str
    answer: str
    judgment: str | None
    gold: float

    rules = (not_blank("question"), at_least("gold", 0.0))
