"""Answers of the responders to the mined queries (ALMoST section 2.1)."""

import pyarrow as pa

from data_contracts.tables.arrow import compute as pc
from data_contracts.tables.contract import Contract, Rule, at_least, finite, integer, not_blank, number, one_of, text

FAILED = "failed"  # a model server gave no completion: the text is empty, and no step uses the row
FINISH_REASONS = ("stop", "end", "length", FAILED)


class Responses(Contract):
    """One row per query and responder. `responder_rank` 1 is assumed best; `logprob` sums over generated tokens,
    null where a server reports none."""

    name = "responses"
    schema = pa.schema(
        [
            text("response_id"),
            text("query_id"),
            text("query"),
            text("responder"),
            integer("responder_rank"),
            text("model"),
            text("prompt_set"),
            integer("shots"),
            text("response"),
            integer("prompt_tokens"),
            integer("tokens"),
            text("finish_reason"),
            number("logprob", nullable=True),
            integer("seed"),
        ]
    )
    key = "response_id"
    rules = (
        not_blank("query"),
        one_of("finish_reason", FINISH_REASONS),
        at_least("responder_rank", 1),
        at_least("shots", 0),
        at_least("tokens", 0),
        finite("logprob"),
        Rule(
            "a failed row has no response",
            lambda t: pc.or_(pc.not_equal(t["finish_reason"], FAILED), pc.equal(t["response"], "")),
        ),
    )
