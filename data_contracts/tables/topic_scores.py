"""How likely an answer is behind its own question, and behind others: is it on topic? (ALMoST, failure signatures)"""

from data_contracts.rows.arrow import compute as pc
from data_contracts.rows.row import Row
from data_contracts.rows.rules import Rule, finite


class TopicScore(Row, table="topic_scores", key="answer_id"):
    """One row per answer. Log-likelihoods are of the whole answer, in nats, by the base model.

    An answer is `off_topic` when some other question makes it at least as likely as its own does. One that could not be
    scored has no scores and says why.
    """

    answer_id: str
    subject: str
    question_id: str
    own_logprob: float | None
    other_question_ids: tuple[str, ...]
    other_logprobs: tuple[float, ...] | None
    off_topic: bool | None
    skipped_because: str | None

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
