"""Demonstrations made by RM-guided self-play (ALMoST section 2.2): a row per assistant turn, all candidates kept."""

import pyarrow as pa

from data_contracts.conversation import CONVERSATION_TYPE
from data_contracts.tables.arrow import compute as pc
from data_contracts.tables.contract import Contract, Rule, at_least, boolean, finite, integer, number, one_of, text

QUERY_SPLITS = ("seen", "unseen")
CANDIDATE_TYPE = pa.list_(
    pa.struct(
        [
            pa.field("text", pa.string(), False),
            pa.field("score", pa.float64(), True),
            pa.field("tokens", pa.int64(), False),
            pa.field("finish_reason", pa.string(), False),
            pa.field("seed", pa.int64(), False),
        ]
    )
)


class Demonstrations(Contract):
    """`context` ends with the human turn that `response` answers; `split` is set per query, never per turn.

    `usable` is False when no candidate had any text (the row is kept as a record, and not trained on).
    """

    name = "demonstrations"
    schema = pa.schema(
        [
            text("demonstration_id"),
            text("query_id"),
            integer("turn"),
            text("split"),
            pa.field("context", CONVERSATION_TYPE, nullable=False),
            text("response"),
            number("score", nullable=True),
            pa.field("candidates", CANDIDATE_TYPE, nullable=False),
            integer("chosen_candidate"),
            boolean("usable"),
        ]
    )
    key = "demonstration_id"
    rules = (
        one_of("split", QUERY_SPLITS),
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
