"""Steps 2 and 3 of the paper: demonstrations by RM-guided self-play, SFT, and PPO (ALMoST sections 2.2 and 2.3).

`policy.optimizer` may put DPO on the comparisons in PPO's place.
"""

from dataclasses import dataclass

from data_contracts.config.dpo import PreferenceLoss
from data_contracts.config.policy import PolicyOptimizer
from data_contracts.config.run_config import RunConfig
from data_contracts.folder_contracts import Checkpoint
from data_contracts.store.artifact import Artifact
from data_contracts.tables.comparisons import Comparison
from data_contracts.tables.demonstrations import Demonstration
from data_contracts.tables.queries import Query
from data_contracts.tables.rollouts import Rollout
from flows.ingredients import Ingredients
from flows.running.run_stage import run_stage
from flows.running.stages import FINETUNE_POLICY, OPTIMIZE_BY_PREFERENCES, OPTIMIZE_POLICY, SELF_PLAY
from flows.synthetic_feedback import SyntheticFeedback
from tasks.policy.finetune_policy import FinetunedPolicy
from tasks.policy.optimize_by_preferences import PreferredPolicy
from tasks.policy.optimize_policy import OptimizedPolicy


@dataclass(frozen=True)
class TrainedPolicy:
    """Everything steps 2 and 3 make; `optimizer` says how `checkpoint` came about, rollouts are those it sampled."""

    demonstrations: Artifact[Demonstration]
    sft: FinetunedPolicy
    optimizer: PolicyOptimizer
    checkpoint: Artifact[Checkpoint]
    rollouts: Artifact[Rollout] | None


def train_policy(config: RunConfig, given: Ingredients, feedback: SyntheticFeedback) -> TrainedPolicy:
    """Play, fine-tune on the seen half, then optimise: on both halves by rewards, or on the comparisons."""
    demonstrations = play_with_reward_model(config, given, feedback.mined.queries, feedback.reward.checkpoint)
    sft = fine_tune(config, given, demonstrations)
    optimizer = config.policy.optimizer
    if optimizer.learns_from_pairs:
        preferred = optimize_on_pairs(config, feedback.comparisons, sft.checkpoint)
        return TrainedPolicy(demonstrations, sft, optimizer, preferred.checkpoint, None)
    optimized = optimize(config, demonstrations, sft.checkpoint, feedback.reward.checkpoint)
    return TrainedPolicy(demonstrations, sft, optimizer, optimized.checkpoint, optimized.rollouts)


def play_with_reward_model(
    config: RunConfig, given: Ingredients, queries: Artifact[Query], reward_model: Artifact[Checkpoint]
) -> Artifact[Demonstration]:
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


def fine_tune(config: RunConfig, given: Ingredients, demonstrations: Artifact[Demonstration]) -> FinetunedPolicy:
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
    demonstrations: Artifact[Demonstration],
    sft: Artifact[Checkpoint],
    reward_model: Artifact[Checkpoint],
) -> OptimizedPolicy:
    """PPO on both halves, from the SFT model."""
    return run_stage(
        OPTIMIZE_POLICY,
        config.placement,
        demonstrations,
        sft,
        reward_model,
        config.policy,
        config.training,
        config.seeds.train,
        *config.gold_world(),
    )


def optimize_on_pairs(
    config: RunConfig, comparisons: Artifact[Comparison], sft: Artifact[Checkpoint]
) -> PreferredPolicy:
    """DPO on the kept comparisons, from the SFT model."""
    normalised = config.policy.optimizer is PolicyOptimizer.SIGMOID_NORM
    return run_stage(
        OPTIMIZE_BY_PREFERENCES,
        config.placement,
        comparisons,
        sft,
        PreferenceLoss.SIGMOID_NORM if normalised else PreferenceLoss.SIGMOID,
        config.dpo,
        config.training,
        config.seeds.train,
    )
