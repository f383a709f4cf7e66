"""Profile sections of the training steps (ALMoST 2.1-2.3). Sources stand beside each default."""

from enum import StrEnum

from pydantic import Field

from data_contracts.sections import Section


class RewardTraining(Section):
    """Training of a reward model (ALMoST 2.1): -log sigmoid(r(x, chosen) - r(x, rejected))."""

    epochs: float = Field(default=1, gt=0, title="Epochs", description="ALMoST 2.1")
    learning_rate: float = Field(default=1e-5, gt=0, title="Learning rate", description="ALMoST 2.1")
    batch_size: int = Field(
        default=64, ge=1, title="Batch size", description="Pairs per step over all ranks; ALMoST 2.1"
    )
    micro_batch_size: int = Field(default=8, ge=1, title="Micro batch", description="Pairs per rank at once")
    max_length: int = Field(default=1024, ge=8, title="Tokens at most", description="ALMoST 2.1")
    heldout_share: float = Field(
        default=0.1, ge=0, lt=1, title="Held-out share", description="Of the queries, not pairs"
    )


class SelfPlay(Section):
    """RM-guided self-play (ALMoST 2.2)."""

    assistant_model: str = Field(default="large", title="Assistant", description="A's model; LLaMA-30B in the paper")
    assistant_prompt: str = Field(default="faithful", title="Assistant prompt", description="ALMoST 2.2: Faithful")
    assistant_shots: int = Field(default=3, ge=0, title="Assistant shots", description="ALMoST 2.2")
    user_model: str = Field(default="large", title="User model", description="LLaMA-30B in the paper")
    user_shots: int = Field(default=3, ge=0, title="User shots", description="30B-User-3shot")
    candidates: int = Field(default=4, ge=1, title="Candidates N", description="ALMoST 2.2: 4; 1 = plain self-play")
    turns: int = Field(default=2, ge=1, title="Turns T at most", description="ALMoST 2.2: 2")
    queries: int | None = Field(default=None, ge=1, title="Queries used", description="Empty: all mined queries")
    seen_share: float = Field(
        default=0.5, gt=0, le=1, title="Seen in SFT", description="ALMoST 2.3: half of the prompts"
    )
    top_p: float = Field(default=0.9, gt=0, le=1, title="Nucleus mass", description="ALMoST C.2")
    temperature: float = Field(default=1.0, ge=0, title="Temperature", description="ALMoST C.2")
    max_new_tokens: int = Field(default=384, ge=1, title="New tokens at most", description="ALMoST C.2")
    user_max_new_tokens: int = Field(default=128, ge=1, title="User's new tokens", description="Not in the paper")
    shard_queries: int = Field(default=128, ge=1, title="Queries per shard", description="Lost at most after a crash")


class SupervisedFinetuning(Section):
    """Supervised fine-tuning (ALMoST 2.2, Alpaca's recipe)."""

    epochs: float = Field(default=3, gt=0, title="Epochs", description="ALMoST 2.2")
    learning_rate: float = Field(default=2e-5, gt=0, title="Learning rate", description="ALMoST 2.2")
    batch_size: int = Field(default=128, ge=1, title="Batch size", description="ALMoST 2.2")
    micro_batch_size: int = Field(default=8, ge=1, title="Micro batch", description="Rows per rank at once")
    max_length: int = Field(default=512, ge=8, title="Tokens at most", description="ALMoST 2.2")
    warmup_share: float = Field(default=0.03, ge=0, lt=1, title="Warm-up share", description="Alpaca's recipe")


class PolicyOptimizer(StrEnum):
    """How the policy is optimised against the reward model."""

    PPO = "ppo"


class PolicyOptimization(Section):
    """Reinforcement learning from synthetic feedback (ALMoST 2.3). The paper prints no PPO numbers: "trlX" marks its defaults."""

    optimizer: PolicyOptimizer = Field(default=PolicyOptimizer.PPO, title="Optimizer", description="ALMoST 2.3: PPO")
    steps: int = Field(default=100, ge=1, title="Steps", description="Rollout-and-update rounds; not in the paper")
    rollouts: int = Field(default=128, ge=1, title="Rollouts per step", description="trlX, not the paper")
    epochs: int = Field(default=4, ge=1, title="Epochs per step", description="trlX, not the paper")
    minibatch_size: int = Field(default=32, ge=1, title="Rows per update")
    micro_batch_size: int = Field(default=32, ge=1, title="Rows at once")
    learning_rate: float = Field(default=3e-5, gt=0, title="Learning rate", description="trlX, not the paper")
    kl_coefficient: float = Field(default=0.001, ge=0, title="KL coefficient", description="trlX's initial value")
    gamma: float = Field(default=1.0, gt=0, le=1, title="Discount", description="trlX, not the paper")
    gae_lambda: float = Field(default=0.95, ge=0, le=1, title="GAE lambda", description="trlX, not the paper")
    clip_range: float = Field(default=0.2, gt=0, title="Clip range", description="trlX, not the paper")
    value_clip_range: float = Field(default=0.2, gt=0, title="Value clip range", description="trlX, not the paper")
    value_coefficient: float = Field(default=1.0, ge=0, title="Value loss weight", description="trlX, not the paper")
    max_grad_norm: float = Field(default=1.0, gt=0, title="Gradient norm", description="Not in the paper")
    max_new_tokens: int = Field(default=256, ge=1, title="New tokens at most")
    max_prompt_tokens: int = Field(default=512, ge=1, title="Prompt tokens at most", description="Longer are trimmed")
    temperature: float = Field(default=1.0, gt=0, title="Temperature")
    top_p: float = Field(default=1.0, gt=0, le=1, title="Nucleus mass")
    missing_end_penalty: float = Field(default=1.0, ge=0, title="Penalty without end", description="Not in the paper")
    whiten_rewards: bool = Field(default=False, title="Whiten rewards")
    validation_share: float = Field(
        default=0.1, ge=0, lt=1, title="Validation share", description="Chooses the checkpoint"
    )
    prompts_seen: int | None = Field(default=None, ge=0, title="Seen prompts", description="Empty: half of each")
