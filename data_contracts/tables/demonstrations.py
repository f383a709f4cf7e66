"""Demonstrations made by RM-guided self-play (ALMoST section 2.2): a row per assistant turn, all candidates kept."""

from dataclasses import dataclass
from enum import StrEnum

from data_contracts.conversation import Conversation
from data_contracts.finish_reason import FinishReason
from data_contracts.rows.arrow import compute as pc
from data_contracts.rows.row import Row
from data_contracts.rows.rules import Rule, at_least, finite


class QuerySplit(StrEnum):
    """Whether the queries' demonstrations are seen in SFT, or kept as prompts that PPO sees first (ALMoST section 2.3)."""

    SEEN = "seen"
    UNSEEN = "unseen"


@dataclass(frozen=True)
class Candidate:
    """One sampled response to a context; an empty one has no score."""

    text: str
    score: float | None
    tokens: int
    finish_reason: FinishReason
    seed: int


class Demonstration(Row, table="demonstrations", key="demonstration_id"):
    """`context` ends with the human turn that `response` answers; `split` is set per query, never per turn.

    `usable` is False when no candidate had any text (the row is kept as a record, and not trained on).
    """

    demonstration_id: str
    query_id: str
    turn: int
    split: QuerySplit
    context: Conversation
    response: str
    score: float | None
    candidates: tuple[Candidate, ...]
    chosen_candidate: int
    usable: bool

    rules = (
        at_least("turn", 1),
        finite("score"),
        Rule(
            "chosen_candidate is one of the candidates",
            lambda t: pc.and_(
                pc.greater_equal(t["chosen_candidate"], 0),
                pc.less(t["chosen_candidate"], pc.list_value_length(t["candidates"])),
            ),
        ),
        Rule(
            "a usable row has a response",
            lambda t: pc.equal(t["usable"], pc.greater(pc.utf8_length(pc.utf8_trim_whitespace(t["response"])), 0)),
        ),
    )
