"""How likely an answer is behind its own question, and behind others: is it on topic? (ALMoST, failure signatures)"""

import pyarrow as pa

from data_contracts.tables.arrow import compute as pc
from data_contracts.tables.contract import Contract, Rule, boolean, finite, number, text


class TopicScores(Contract):
    """One row per answer. Log-likelihoods are of the whole answer, in nats, by the base model.

    An answer is `off_topic` when some other question makes it at least as likely as its own does. One that could not be
    scored has no scores and says why.
    """

    name = "topic_scores"
    schema = pa.schema(
        [
            text("answer_id"),
            text("subject"),
            text("question_id"),
            number("own_logprob", nullable=True),
            pa.field("other_question_ids", pa.list_(pa.string()), nullable=False),
            pa.field("other_logprobs", pa.list_(pa.float64()), nullable=True),
            boolean("off_topic", nullable=True),
            text("skipped_because", nullable=True),
        ]
    )
    key = "answer_id"
    rules = (
        finite("own_logprob"),
        Rule(
            "scores and a finding exactly when not skipped",
            lambda t: pc.and_(
                pc.equal(pc.is_valid(t["off_topic"]), pc.is_null(t["skipped_because"])),
                pc.equal(pc.is_valid(t["off_topic"]), pc.is_valid(t["own_logprob"])),
            ),
        ),
    )
