"""Questions put to models, their answers, and a judge's verdicts on pairs of answers (ALMoST section 3.1)."""

from enum import StrEnum

from data_contracts.finish_reason import FinishReason
from data_contracts.rows.arrow import compute as pc
from data_contracts.rows.row import Row
from data_contracts.rows.rules import Rule, at_least, finite, not_blank


class Order(StrEnum):
    """In which order a judge read the two answers: A's first, or B's."""

    AB = "AB"
    BA = "BA"


class Outcome(StrEnum):
    """How subject A came out of one comparison."""

    WIN = "win"
    TIE = "tie"
    LOSS = "loss"
    UNPARSABLE = "unparsable"


class JudgeQuestion(Row, table="question_set", key="question_id"):
    """Questions of an A/B test; `category` as the file has it."""

    question_id: str
    category: str | None
    question: str

    rules = (not_blank("question"),)


class ModelAnswer(Row, table="answers", key="answer_id"):
    """One model's answers to the questions of a set."""

    answer_id: str
    subject: str
    question_id: str
    category: str | None
    question: str
    answer: str
    tokens: int
    finish_reason: FinishReason
    seed: int

    rules = (at_least("tokens", 0),)


class JudgeVerdict(Row, table="verdicts", key="verdict_id"):
    """One row per question and order; `outcome` is subject A's. An unreadable reply has no scores and says why.

    `order` AB means that the judge read A's answer first. Tokens are null where the judge counts none.
    """

    verdict_id: str
    question_id: str
    category: str | None
    question: str
    subject_a: str
    subject_b: str
    order: Order
    answer_a_chars: int
    answer_b_chars: int
    score_a: float | None
    score_b: float | None
    outcome: Outcome
    unparsable_because: str | None
    explanation: str
    raw_reply: str
    prompt_tokens: int | None
    reply_tokens: int | None

    rules = (
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
