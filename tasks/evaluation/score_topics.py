"""Are answers on topic? The base model says behind which of several questions each is likeliest."""

import logging

from data_contracts.config.engine import EngineConfig
from data_contracts.errors import EngineError
from data_contracts.handles import ModelHandle
from data_contracts.rows.rows import Rows, rows_of
from data_contracts.tables.topic_scores import TopicScore
from data_contracts.tables.verdicts import ModelAnswer
from models.evaluation.topics import topic_rows
from tasks.runtime.context import count
from tasks.runtime.loaded_models import LazyEngine
from tasks.runtime.phases import Phase
from tasks.runtime.step import step

log = logging.getLogger("almost.evaluation")


@step(version="2", phase=Phase.EVALUATION, heavy=True)
def score_topics(
    *, answers: list[Rows[ModelAnswer]], base: ModelHandle, others: int, engine: EngineConfig, seed: int
) -> Rows[TopicScore]:
    """One row per answer of every model; none where the engine's server cannot score texts."""
    given = [answer for table in answers for answer in table]
    lazy = LazyEngine(base, engine)
    try:
        found = topic_rows(lazy.open(), given, others, seed)
    except EngineError as error:
        if error.transient:
            raise
        log.warning("off-topic answers are not measured: %s", error)
        found = []
    lazy.count_tokens()
    count(answers_scored=sum(score.skipped_because is None for score in found))
    return rows_of(TopicScore, found)
