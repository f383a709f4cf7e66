"""Step 1 of the paper: from seed queries to a reward model, by synthetic feedback (ALMoST section 2.1)."""

from dataclasses import dataclass

from data_contracts.config.run_config import RunConfig
from data_contracts.rows.rows import Rows
from data_contracts.tables.comparisons import Comparison
from data_contracts.tables.evaluation_texts import ContaminationVerdict
from data_contracts.tables.queries import Query
from data_contracts.tables.responses import Response
from flows.ingredients import Ingredients
from tasks.feedback import mine_queries as mining
from tasks.feedback.check_contamination import check_contamination
from tasks.feedback.filter_comparisons import filter_comparisons
from tasks.feedback.judge_by_as_is import judge_by_as_is
from tasks.feedback.load_queries import load_queries
from tasks.feedback.mined_queries import MinedQueries
from tasks.feedback.rank_comparisons import rank_comparisons
from tasks.feedback.sample_responses import sample_responses
from tasks.inputs.resolve_files import resolve_file
from tasks.reward.train_reward_model import TrainedRewardModel, train_as_is_reward_model, train_reward_model


@dataclass(frozen=True)
class SyntheticFeedback:
    """Everything step 1 makes."""

    mined: MinedQueries
    responses: list[Rows[Response]]
    comparisons: Rows[Comparison]
    as_is: TrainedRewardModel | None
    reward: TrainedRewardModel
    contamination: Rows[ContaminationVerdict] | None = None


def synthetic_feedback(config: RunConfig, given: Ingredients) -> SyntheticFeedback:
    """Mine queries, let the responders answer, rank, filter, and train the reward model."""
    mined = mine_queries(config, given)
    contamination = check_contamination(
        queries=mined.queries, rejected=mined.rejected, evaluation_texts=given.evaluation_texts, mining=config.mining
    )
    responses = sample_all_responses(config, given, mined.queries)
    comparisons = compare(config, responses)
    comparisons, as_is = veto_by_as_is(config, given, comparisons)
    reward = learn_reward(config, given, comparisons)
    return SyntheticFeedback(mined, responses, comparisons, as_is, reward, contamination)


def mine_queries(config: RunConfig, given: Ingredients, earlier: Rows[Query] | None = None) -> MinedQueries:
    """Mine queries with the miner of the profile, or take one's own; none that are in an `earlier` pool."""
    if config.use.queries is not None:
        return load_queries(
            file=resolve_file("use.queries", config.use.queries),
            evaluation_texts=given.evaluation_texts,
            mining=config.mining,
            earlier=earlier,
        )
    return mining.mine_queries(
        seeds=given.prompts["seed_queries"],
        miner=given.models[config.mining.model],
        evaluation_texts=given.evaluation_texts,
        mining=config.mining,
        engine=config.engine,
        seed=config.seeds.data,
        earlier=earlier,
    )


def sample_all_responses(config: RunConfig, given: Ingredients, queries: Rows[Query]) -> list[Rows[Response]]:
    """Let every responder answer every query; responders are listed best first."""
    return [
        sample_responses(
            queries=queries,
            responder=responder,
            rank=rank,
            model=given.models[responder.model],
            prompts=given.prompts[responder.prompt],
            sampling=config.sampling,
            engine=config.engine,
            seed=config.seeds.data,
        )
        for rank, responder in enumerate(config.responders, start=1)
    ]


def compare(config: RunConfig, responses: list[Rows[Response]]) -> Rows[Comparison]:
    """Pair the responses by the rule of thumb and give each pair the heuristic filter's verdicts."""
    ranked = rank_comparisons(responses=responses)
    return filter_comparisons(comparisons=ranked, heuristics=config.filter, ranking=config.ranking)


def veto_by_as_is(
    config: RunConfig, given: Ingredients, comparisons: Rows[Comparison]
) -> tuple[Rows[Comparison], TrainedRewardModel | None]:
    """Train the as-is reward model and let it judge, unless the profile does without."""
    if given.community_answers is None:
        return comparisons, None
    as_is = train_as_is_reward_model(
        answers=given.community_answers,
        base=given.models["reward"],
        pairs=config.as_is.pairs,
        reward=config.reward.plain(),
        training=config.training,
        seed=config.seeds.train,
    )
    return judge_by_as_is(comparisons=comparisons, as_is=as_is.checkpoint, engine=config.engine), as_is


def learn_reward(config: RunConfig, given: Ingredients, comparisons: Rows[Comparison]) -> TrainedRewardModel:
    """Train the reward model on the comparisons that every filter kept."""
    return train_reward_model(
        comparisons=comparisons,
        base=given.models["reward"],
        likelihood_base=given.likelihood_base(config.reward),
        reward=config.reward,
        training=config.training,
        seed=config.seeds.train,
    )
