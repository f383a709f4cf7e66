"""Steps 2 and 3 of the paper: demonstrations by RM-guided self-play, SFT, and PPO (ALMoST sections 2.2 and 2.3).

`policy.algorithm` may put RLOO or GRPO, or DPO on the comparisons, in PPO's place.
"""

from dataclasses import dataclass

from data_contracts.config.algorithm import Algorithm
from data_contracts.config.policy.pairs import LearningFromPairs
from data_contracts.config.policy.rewards import LearningFromRewards
from data_contracts.config.run_config import RunConfig
from data_contracts.folder_contracts import PolicyCheckpoint, RewardCheckpoint
from data_contracts.rows.rows import Rows
from data_contracts.store.stored import Folder
from data_contracts.tables.comparisons import Comparison
from data_contracts.tables.demonstrations import Demonstration
from data_contracts.tables.queries import Query
from data_contracts.tables.rollouts import Rollout
from flows.ingredients import Ingredients
from flows.synthetic_feedback import SyntheticFeedback
from tasks.policy.finetune_policy import FinetunedPolicy, finetune_policy
from tasks.policy.optimize_by_preferences import PreferredPolicy, optimize_by_preferences
from tasks.policy.optimize_policy import OptimizedPolicy, optimize_policy
from tasks.policy.self_play import self_play


@dataclass(frozen=True)
class TrainedPolicy:
    """Everything steps 2 and 3 make; `algorithm` says how `checkpoint` came about, rollouts are those it sampled."""

    demonstrations: Rows[Demonstration]
    sft: FinetunedPolicy
    algorithm: Algorithm
    checkpoint: Folder[PolicyCheckpoint]
    rollouts: Rows[Rollout] | None


def train_policy(config: RunConfig, given: Ingredients, feedback: SyntheticFeedback) -> TrainedPolicy:
    """Play, fine-tune on the seen half, then optimise: on both halves by rewards, or on the comparisons."""
    demonstrations = play_with_reward_model(config, given, feedback.mined.queries, feedback.reward.checkpoint)
    sft = fine_tune(config, given, demonstrations)
    algorithm = config.policy.algorithm
    if isinstance(config.policy, LearningFromPairs):
        preferred = optimize_on_pairs(config, feedback.comparisons, sft.checkpoint)
        return TrainedPolicy(demonstrations, sft, algorithm, preferred.checkpoint, None)
    optimized = optimize(config, demonstrations, sft.checkpoint, feedback.reward.checkpoint)
    return TrainedPolicy(demonstrations, sft, algorithm, optimized.checkpoint, optimized.rollouts)


def play_with_reward_model(
    config: RunConfig, given: Ingredients, queries: Rows[Query], reward_model: Folder[RewardCheckpoint]
) -> Rows[Demonstration]:
    """RM-guided self-play from the mined queries."""
    play = config.self_play
    return self_play(
        queries=queries,
        reward_model=reward_model,
        assistant=given.models[play.assistant_model],
        assistant_prompts=given.prompts[play.assistant_prompt],
        user=given.models[play.user_model],
        user_prompts=given.prompts["user"],
        play=play,
        engine=config.engine,
        seed=config.seeds.data,
    )


def fine_tune(config: RunConfig, given: Ingredients, demonstrations: Rows[Demonstration]) -> FinetunedPolicy:
    """SFT on the seen half."""
    return finetune_policy(
        demonstrations=demonstrations,
        base=given.models["policy"],
        sft=config.sft,
        training=config.training,
        seed=config.seeds.train,
    )


def optimize(
    config: RunConfig,
    demonstrations: Rows[Demonstration],
    sft: Folder[PolicyCheckpoint],
    reward_model: Folder[RewardCheckpoint],
) -> OptimizedPolicy:
    """PPO, RLOO or GRPO on both halves, from the SFT model."""
    assert isinstance(config.policy, LearningFromRewards)
    return optimize_policy(
        demonstrations=demonstrations,
        policy=sft,
        reward_model=reward_model,
        optimization=config.policy,
        training=config.training,
        seed=config.seeds.train,
        other_scorer=config.other_scorer(),
    )


def optimize_on_pairs(
    config: RunConfig, comparisons: Rows[Comparison], sft: Folder[PolicyCheckpoint]
) -> PreferredPolicy:
    """DPO, plain or length-normalised, on the kept comparisons, from the SFT model."""
    assert isinstance(config.policy, LearningFromPairs)
    return optimize_by_preferences(
        comparisons=comparisons,
        policy=sft,
        optimization=config.policy,
        training=config.training,
        seed=config.seeds.train,
    )
