"""Step 1 of the paper: from seed queries to a reward model, by synthetic feedback (ALMoST section 2.1)."""

from dataclasses import dataclass

from data_contracts.config.run_config import RunConfig
from data_contracts.store.artifact import Artifact
from data_contracts.tables.comparisons import Comparison
from data_contracts.tables.evaluation_texts import ContaminationVerdict
from data_contracts.tables.queries import Query
from data_contracts.tables.responses import Response
from flows.ingredients import Ingredients
from flows.running.run_stage import run_stage
from flows.running.stages import (
    JUDGE_BY_AS_IS,
    MINE_QUERIES,
    SAMPLE_RESPONSES,
    TRAIN_AS_IS_REWARD_MODEL,
    TRAIN_REWARD_MODEL,
)
from tasks.feedback.check_contamination import check_contamination
from tasks.feedback.filter_comparisons import filter_comparisons
from tasks.feedback.load_queries import load_queries
from tasks.feedback.mined_queries import MinedQueries
from tasks.feedback.rank_comparisons import rank_comparisons
from tasks.inputs.resolve_files import resolve_file
from tasks.reward.train_reward_model import TrainedRewardModel


@dataclass(frozen=True)
class SyntheticFeedback:
    """Everything step 1 makes."""

    mined: MinedQueries
    responses: list[Artifact[Response]]
    comparisons: Artifact[Comparison]
    as_is: TrainedRewardModel | None
    reward: TrainedRewardModel
    contamination: Artifact[ContaminationVerdict] | None = None


def synthetic_feedback(config: RunConfig, given: Ingredients) -> SyntheticFeedback:
    """Mine queries, let the responders answer, rank, filter, and train the reward model."""
    mined = mine_queries(config, given)
    contamination = check_contamination(mined.queries, mined.rejected, given.evaluation_texts, config.mining)
    responses = sample_all_responses(config, given, mined.queries)
    comparisons = filter_comparisons(rank_comparisons(responses), config.filter, config.ranking)
    comparisons, as_is = veto_by_as_is(config, given, comparisons)
    reward = learn_reward(config, given, comparisons)
    return SyntheticFeedback(mined, responses, comparisons, as_is, reward, contamination)


def mine_queries(config: RunConfig, given: Ingredients, earlier: Artifact[Query] | None = None) -> MinedQueries:
    """Mine queries with the miner of the profile, or take one's own; none that are in an `earlier` pool."""
    if config.use.queries is not None:
        file = resolve_file("use.queries", config.use.queries)
        return load_queries(file, given.evaluation_texts, config.mining, earlier)
    return run_stage(
        MINE_QUERIES,
        config.placement,
        given.prompts["seed_queries"],
        given.models[config.mining.model],
        given.evaluation_texts,
        config.mining,
        config.engine,
        config.seeds.data,
        earlier,
    )


def sample_all_responses(config: RunConfig, given: Ingredients, queries: Artifact[Query]) -> list[Artifact[Response]]:
    """Let every responder answer every query; responders are listed best first."""
    return [
        run_stage(
            SAMPLE_RESPONSES,
            config.placement,
            queries,
            responder,
            rank,
            given.models[responder.model],
            given.prompts[responder.prompt],
            config.sampling,
            config.engine,
            config.seeds.data,
        )
        for rank, responder in enumerate(config.responders, start=1)
    ]


def veto_by_as_is(
    config: RunConfig, given: Ingredients, comparisons: Artifact[Comparison]
) -> tuple[Artifact[Comparison], TrainedRewardModel | None]:
    """Train the as-is reward model and let it judge, unless the profile does without."""
    if given.community_answers is None:
        return comparisons, None
    as_is = run_stage(
        TRAIN_AS_IS_REWARD_MODEL,
        config.placement,
        given.community_answers,
        given.models["reward"],
        config.as_is.pairs,
        config.reward.plain(),
        config.training,
        config.seeds.train,
    )
    return run_stage(JUDGE_BY_AS_IS, config.placement, comparisons, as_is.checkpoint, config.engine), as_is


def learn_reward(config: RunConfig, given: Ingredients, comparisons: Artifact[Comparison]) -> TrainedRewardModel:
    """Train the reward model on the comparisons that every filter kept."""
    return run_stage(
        TRAIN_REWARD_MODEL,
        config.placement,
        comparisons,
        given.models["reward"],
        given.likelihood_base(config.reward),
        config.reward,
        config.training,
        config.seeds.train,
    )
