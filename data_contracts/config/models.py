"""Profile section `models`: the ladder of vanilla models and the bases that are trained (ALMoST section 2.1)."""

from pydantic import Field

from data_contracts.config.section import Section


class Models(Section):
    """The ladder of vanilla models and the two bases that are trained; a Hub id, a folder, or `tiny:NAME`."""

    small: str = Field(title="Small model", description="LLaMA-7B in the paper")
    mid: str = Field(title="Middle model", description="LLaMA-13B in the paper")
    large: str = Field(title="Large model", description="LLaMA-30B in the paper")
    reward: str = Field(title="Reward-model base", description="LLaMA-7B in the paper")
    policy: str = Field(title="Policy base", description="LLaMA-7B in the paper")
    likelihood: str | None = Field(
        default=None,
        title="Likelihood base",
        description="Frozen model that reward.likelihood asks; empty: the reward base. Not in the paper",
    )

    def named(self) -> dict[str, str]:
        """Role -> source, without roles that are left empty."""
        return {role: source for role, source in self.model_dump().items() if source is not None}
