"""Scheduled regeneration: new data from the scheduled time, published once; training starts from a publication, once.

The data seed is the run's scheduled time in seconds, so a retry keeps it. Ladder and as-is reward model have seeds of
their own and are found in the store. New queries are compared with every query published before. What is published
carries everything training needs, configuration included, so that no trigger can pair data with other settings.
"""

import os
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from prefect import flow
from prefect.events import emit_event
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.task_runners import ThreadPoolTaskRunner
from pydantic import Field

from data_contracts.config.run_config import RunConfig
from data_contracts.errors import ConfigError, TransientStoreError
from data_contracts.store.artifact_store import Store
from data_contracts.store.home import home_url
from flows.evaluate_run import evaluate_run
from flows.ingredients import Ingredients, prepare_ingredients
from flows.metrics import record_run_metrics
from flows.running.open_run import open_run
from flows.running.parameters import Home, Overrides, ProfileName, QueryCount, configure, run_name
from flows.running.prompt_ending import ending_promptly
from flows.synthetic_feedback import (
    SyntheticFeedback,
    compare,
    learn_reward,
    mine_queries,
    sample_all_responses,
    veto_by_as_is,
)
from flows.train_policy import train_policy
from tasks.feedback.check_contamination import check_contamination
from tasks.feedback.mined_queries import MinedQueries
from tasks.regeneration.accumulate_data import accumulate_comparisons, accumulate_queries
from tasks.regeneration.publications import Publication, consume, is_consumed, latest, made_by, publish, read
from tasks.runtime.context import current

PUBLISHED = "almost.data.published"
TRIES = 3  # at building on the newest pool, while others publish


class Mode(StrEnum):
    """What training gets to see."""

    REPLACE = "replace"
    ACCUMULATE = "accumulate"


ModeField = Annotated[
    Mode,
    Field(
        json_schema_extra={
            "title": "Earlier data",
            "description": "replace: train on this generation alone; accumulate: on all published so far",
        }
    ),
]
PublicationNumber = Annotated[
    int | None,
    Field(ge=1, json_schema_extra={"title": "Publication", "description": "Its number; empty: the latest"}),
]
_RUNNER: Any = ThreadPoolTaskRunner(max_workers=os.cpu_count() or 2)


def scheduled_seed(scheduled: datetime) -> int:
    """The data seed of a scheduled time: its seconds since 1970."""
    return int(scheduled.timestamp())


def regeneration_name() -> str:
    """Name of a flow run: the profile's, without its folder."""
    return run_name().replace("almost-", "regenerate-", 1)


@flow(name="almost", description=__doc__, flow_run_name=regeneration_name, task_runner=_RUNNER)
def regenerate(
    profile: ProfileName = "tiny",
    mode: ModeField = Mode.REPLACE,
    queries: QueryCount = None,
    overrides: Overrides = (),
    home: Home = None,
) -> int:
    """Make a new generation of data, publish it, and return its number."""
    seed = scheduled_seed(flow_run.scheduled_start_time)
    config = configure(profile, data_seed=seed, queries=queries, overrides=overrides)
    if config.placement.approval:
        raise ConfigError("a scheduled regeneration asks nobody: set placement.approval=false among its overrides")
    with ending_promptly(), open_run(config, home, None, None):
        publication = made_by(current().open_store(), str(flow_run.id)) or _publish_new_data(config, mode)
        if not is_consumed(current().open_store(), publication.number):
            announce(publication)
    return publication.number


@flow(name="almost", description="Train on published data, once.", flow_run_name="train", task_runner=_RUNNER)
def train(publication: PublicationNumber = None, home: Home = None) -> str | None:
    """Train on a publication unless another run has; returns the run's id, None when there was nothing to do."""
    store, logger = Store(home_url(home)), get_run_logger()
    found = read(store, publication) if publication else latest(store)
    if found is None or not consume(store, found.number, str(flow_run.id)):
        logger.info("publication %s is being trained on, or was: nothing to do", found.number if found else "(none)")
        return None
    logger.info("training on publication %s, data seed %s", found.number, found.data_seed)
    config = found.run_config()
    with ending_promptly(), open_run(config, home, None, None) as run:
        given = prepare_ingredients(config)
        reward = learn_reward(config, given, found.comparisons)
        feedback = SyntheticFeedback(found.mined, list(found.responses), found.comparisons, found.as_is, reward)
        policy = train_policy(config, given, feedback)
        record_run_metrics(run.record, feedback, policy, evaluate_run(config, given, feedback, policy))
    return run.run_id


def announce(publication: Publication) -> None:
    """Tell automations; saying it twice does no harm, for a publication is trained on once."""
    emit_event(
        event=PUBLISHED,
        resource={"prefect.resource.id": f"almost.publication.{publication.number}"},
        payload={
            "number": publication.number,
            "data_seed": publication.data_seed,
            "home": current().open_store().url,
        },
    )


def _publish_new_data(config: RunConfig, mode: Mode) -> Publication:
    given = prepare_ingredients(config)
    for _ in range(TRIES):
        publication = _next_generation(config, given, mode, latest(current().open_store()))
        if publish(current().open_store(), publication):
            return publication
        get_run_logger().warning("publication %s was taken meanwhile; building on it", publication.number)
    raise TransientStoreError(f"{TRIES} times in a row, another regeneration published first; run this one again")


def _next_generation(config: RunConfig, given: Ingredients, mode: Mode, base: Publication | None) -> Publication:
    mined = mine_queries(config, given, earlier=base.pool if base else None)
    check_contamination(
        queries=mined.queries, rejected=mined.rejected, evaluation_texts=given.evaluation_texts, mining=config.mining
    )
    responses = sample_all_responses(config, given, mined.queries)
    comparisons = compare(config, responses)
    comparisons, as_is = veto_by_as_is(config, given, comparisons)
    number, pool, queries = 1, mined.queries, mined.queries
    if base is not None:
        number = base.number + 1
        pool = accumulate_queries(earlier=base.pool, fresh=mined.queries, number=number)
        if mode is Mode.ACCUMULATE:
            queries = accumulate_queries(earlier=base.mined.queries, fresh=mined.queries, number=number)
            comparisons = accumulate_comparisons(earlier=base.comparisons, fresh=comparisons, number=number)
    return Publication(
        number=number,
        run=str(flow_run.id),
        data_seed=config.seeds.data,
        pool=pool,
        mined=MinedQueries(queries=queries, rejected=mined.rejected, lines=mined.lines),
        responses=tuple(responses),
        comparisons=comparisons,
        as_is=as_is,
        config=config.model_dump(mode="json", exclude={"placement"}),
    )
