"""Tables the tiny world hands out: questions with their split, follow-ups and critiques (TINY_WORLD)."""

import pyarrow as pa

from data_contracts.tables.contract import Contract, at_least, not_blank, number, one_of, text

WORLD_SPLITS = ("train", "dev", "test")


class WorldQuestions(Contract):
    """Questions about the world; names of one split never occur in another."""

    name = "world_questions"
    schema = pa.schema([text("question_id"), text("split"), text("kind"), text("question")])
    key = "question_id"
    rules = (one_of("split", WORLD_SPLITS), not_blank("question"))


class FollowUps(Contract):
    """What a curious human may say after an answer."""

    name = "follow_ups"
    schema = pa.schema([text("follow_up_id"), text("question"), text("answer"), text("follow_up")])
    key = "follow_up_id"
    rules = (not_blank("follow_up"),)


class Critiques(Contract):
    """Judgments in words of question-answer pairs, for CUT; a null judgment means that nothing is wrong."""

    name = "critiques"
    schema = pa.schema(
        [text("critique_id"), text("question"), text("answer"), text("judgment", nullable=True), number("gold")]
    )
    key = "critique_id"
    rules = (not_blank("question"), at_least("gold", 0.0))
