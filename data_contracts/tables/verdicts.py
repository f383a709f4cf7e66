"""Questions put to models, their answers, and a judge's verdicts on pairs of answers (ALMoST section 3.1)."""

import pyarrow as pa

from data_contracts.tables.arrow import compute as pc
from data_contracts.tables.contract import Contract, Rule, at_least, finite, integer, not_blank, number, one_of, text
from data_contracts.tables.responses import FINISH_REASONS

OUTCOMES = ("win", "tie", "loss", "unparsable")


class QuestionSet(Contract):
    """Questions of an A/B test; `category` as the file has it."""

    name = "question_set"
    schema = pa.schema([text("question_id"), text("category", nullable=True), text("question")])
    key = "question_id"
    rules = (not_blank("question"),)


class Answers(Contract):
    """One model's answers to the questions of a set."""

    name = "answers"
    schema = pa.schema(
        [
            text("answer_id"),
            text("subject"),
            text("question_id"),
            text("category", nullable=True),
            text("question"),
            text("answer"),
            integer("tokens"),
            text("finish_reason"),
            integer("seed"),
        ]
    )
    key = "answer_id"
    rules = (one_of("finish_reason", FINISH_REASONS), at_least("tokens", 0))


class Verdicts(Contract):
    """One row per question and order; `outcome` is subject A's. An unreadable reply has no scores and says why.

    `order` AB means that the judge read A's answer first. Tokens are null where the judge counts none.
    """

    name = "verdicts"
    schema = pa.schema(
        [
            text("verdict_id"),
            text("question_id"),
            text("category", nullable=True),
            text("question"),
            text("subject_a"),
            text("subject_b"),
            text("order"),
            integer("answer_a_chars"),
            integer("answer_b_chars"),
            number("score_a", nullable=True),
            number("score_b", nullable=True),
            text("outcome"),
            text("unparsable_because", nullable=True),
            text("explanation"),
            text("raw_reply"),
            integer("prompt_tokens", nullable=True),
            integer("reply_tokens", nullable=True),
        ]
    )
    key = "verdict_id"
    rules = (
        one_of("order", ("AB", "BA")),
        one_of("outcome", OUTCOMES),
        finite("score_a"),
        finite("score_b"),
        Rule(
            "unparsable exactly when there is a reason",
            lambda t: pc.equal(pc.equal(t["outcome"], "unparsable"), pc.is_valid(t["unparsable_because"])),
        ),
        Rule(
            "scores exactly when parsable",
            lambda t: pc.and_(
                pc.equal(pc.is_valid(t["score_a"]), pc.not_equal(t["outcome"], "unparsable")),
                pc.equal(pc.is_valid(t["score_a"]), pc.is_valid(t["score_b"])),
            ),
        ),
    )
