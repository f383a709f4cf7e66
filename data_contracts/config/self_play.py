"""Profile section `self_play`: demonstrations by RM-guided self-play (ALMoST section 2.2)."""

from pydantic import Field

from data_contracts.config.section import Section


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
        default=0.5, gt=0, lt=1, title="Seen in SFT", description="ALMoST 2.3: half of the prompts"
    )
    top_p: float = Field(default=0.9, gt=0, le=1, title="Nucleus mass", description="ALMoST C.2")
    temperature: float = Field(default=1.0, ge=0, title="Temperature", description="ALMoST C.2")
    max_new_tokens: int = Field(default=384, ge=1, title="New tokens at most", description="ALMoST C.2")
    user_max_new_tokens: int = Field(default=128, ge=1, title="User's new tokens", description="Not in the paper")
    shard_queries: int = Field(default=128, ge=1, title="Queries per shard", description="Lost at most after a crash")
