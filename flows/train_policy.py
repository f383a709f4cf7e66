"""Steps 2 and 3 of the paper: demonstrations by RM-guided self-play, SFT, and PPO (ALMoST sections 2.2 and 2.3).

`policy.algorithm` may put RLOO or GRPO, or DPO on the comparisons, in PPO's place.
"""

from dataclasses import dataclass

from data_contracts.config.policy_algorithm import Algorithm
from data_contracts.config.policy_pairs import LearningFromPairs
from data_contracts.config.policy_rewards import LearningFromRewards
from data_contracts.config.run_config import RunConfig
from data_contracts.folder_contracts import Checkpoint
from data_contracts.store.artifact import Artifact
from data_contracts.tables.comparisons import Comparisons
from data_contracts.tables.demonstrations import Demonstrations
from data_contracts.tables.queries import Queries
from data_contracts.tables.rollouts import Rollouts
from flows.ingredients import Ingredients
from flows.running.run_stage import run_stage
from flows.running.stages import FINETUNE_POLICY, OPTIMIZE_BY_PREFERENCES, OPTIMIZE_POLICY, SELF_PLAY
from flows.synthetic_feedback import SyntheticFeedback
from tasks.policy.finetune_policy import FinetunedPolicy
from tasks.policy.optimize_by_preferences import PreferredPolicy
from tasks.policy.optimize_policy import OptimizedPolicy


@dataclass(frozen=True)
class TrainedPolicy:
    """Everything steps 2 and 3 make; `algorithm` says how `checkpoint` came about, rollouts are those it sampled."""

    demonstrations: Artifact[Demonstrations]
    sft: FinetunedPolicy
    algorithm: Algorithm
    checkpoint: Artifact[Checkpoint]
    rollouts: Artifact[Rollouts] | None


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
    config: RunConfig, given: Ingredients, queries: Artifact[Queries], reward_model: Artifact[Checkpoint]
) -> Artifact[Demonstrations]:
    """RM-guided self-play from the mined queries."""
    play = config.self_play
    return run_stage(
        SELF_PLAY,
        config.placement,
        queries,
        reward_model,
        given.models[play.assistant_model],
        given.prompts[play.assistant_prompt],
        given.models[play.user_model],
        given.prompts["user"],
        play,
        config.engine,
        config.seeds.data,
    )


def fine_tune(config: RunConfig, given: Ingredients, demonstrations: Artifact[Demonstrations]) -> FinetunedPolicy:
    """SFT on the seen half."""
    return run_stage(
        FINETUNE_POLICY,
        config.placement,
        demonstrations,
        given.models["policy"],
        config.sft,
        config.training,
        config.seeds.train,
    )


def optimize(
    config: RunConfig,
    demonstrations: Artifact[Demonstrations],
    sft: Artifact[Checkpoint],
    reward_model: Artifact[Checkpoint],
) -> OptimizedPolicy:
    """PPO, RLOO or GRPO on both halves, from the SFT model."""
    assert isinstance(config.policy, LearningFromRewards)
    return run_stage(
        OPTIMIZE_POLICY,
        config.placement,
        demonstrations,
        sft,
        reward_model,
        config.policy,
        config.training,
        config.seeds.train,
        config.other_scorer(),
    )


def optimize_on_pairs(
    config: RunConfig, comparisons: Artifact[Comparisons], sft: Artifact[Checkpoint]
) -> PreferredPolicy:
    """DPO, plain or length-normalised, on the kept comparisons, from the SFT model."""
    assert isinstance(config.policy, LearningFromPairs)
    return run_stage(
        OPTIMIZE_BY_PREFERENCES,
        config.placement,
        comparisons,
        sft,
        config.policy,
        config.training,
        config.seeds.train,
    )
