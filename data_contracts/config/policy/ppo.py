"""Settings of PPO beyond those it shares with RLOO and GRPO: value head, advantages, whitening (ALMoST section 2.3)."""

from typing import Literal

from pydantic import Field

from data_contracts.config.algorithm import Algorithm
from data_contracts.config.policy.rewards import KLInReward


class PPOSettings(KLInReward):
    """PPO (Schulman et al. 2017), as in ALMoST 2.3: advantages by a value head, which is learnt beside the policy."""

    algorithm: Literal[Algorithm.PPO] = Algorithm.PPO
    gamma: float = Field(
        default=1.0, gt=0, le=1, title="Discount (gamma)", description="Of later rewards, per token; trlX: 1"
    )
    gae_lambda: float = Field(
        default=0.95,
        ge=0,
        le=1,
        title="GAE lambda",
        description="Between one-step advantages (0) and whole returns (1); trlX: 0.95",
    )
    whiten_advantages: bool = Field(
        default=True,
        title="Whiten advantages",
        description="Advantages of a step get mean 0 and variance 1; trlX: yes",
    )
    whiten_rewards: bool = Field(
        default=False,
        title="Whiten rewards",
        description="Token rewards of a step get variance 1; an option of TRL; trlX: no",
    )
    value_learning_rate: float | None = Field(
        default=None, gt=0, title="Value head: learning rate", description="Empty: the policy's (trlX)"
    )
    value_max_grad_norm: float | None = Field(
        default=None,
        gt=0,
        title="Value head: gradient norm limit",
        description="On the value head alone, so that it never scales the policy's gradient; empty: max_grad_norm; ours",
    )
    value_warmup_steps: int = Field(
        default=0,
        ge=0,
        title="Value head: warm-up steps",
        description="First steps, in which only the value head learns; trlX: 0",
    )
    value_clip_range: float = Field(
        default=0.2,
        gt=0,
        title="Value clip range",
        description="How far a value may leave the sampled one before its gradient ends; trlX: 0.2",
    )
    value_coefficient: float = Field(
        default=1.0, ge=0, title="Value loss weight", description="Beside the policy's loss; trlX: 1"
    )
    detach_value: bool = Field(
        default=False,
        title="Detach value head",
        description="True: the value loss does not reach the policy's layers; trlX: False",
    )
