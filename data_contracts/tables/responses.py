"""Answers of the responders to the mined queries (ALMoST section 2.1)."""

from data_contracts.finish_reason import FinishReason
from data_contracts.rows.arrow import compute as pc
from data_contracts.rows.row import Row
from data_contracts.rows.rules import Rule, at_least, finite, not_blank


class Response(Row, table="responses", key="response_id"):
    """One row per query and responder. `responder_rank` 1 is assumed best; `logprob` sums over generated tokens,
    null where a server reports none."""

    response_id: str
    query_id: str
    query: str
    responder: str
    responder_rank: int
    model: str
    prompt_set: str
    shots: int
    response: str
    prompt_tokens: int
    tokens: int
    finish_reason: FinishReason
    logprob: float | None
    seed: int

    rules = (
        not_blank("query"),
        at_least("responder_rank", 1),
        at_least("shots", 0),
        at_least("tokens", 0),
        finite("logprob"),
        Rule(
            "a failed row has no response",
            lambda t: pc.or_(pc.not_equal(t["finish_reason"], FinishReason.FAILED.value), pc.equal(t["response"], "")),
        ),
    )
