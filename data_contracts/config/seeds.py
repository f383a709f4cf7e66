"""Profile section `seeds`: one seed per part of a run, so that new data does not retrain the ladder."""

from pydantic import Field

from data_contracts.config.section import Section


class Seeds(Section):
    """Separate seeds, so that new data does not retrain the ladder."""

    world: int = Field(default=1, title="World seed", description="Facts and names of the tiny world")
    ladder: int = Field(default=1, title="Ladder seed", description="Pre-training of the tiny world's models")
    data: int = Field(default=1, title="Data seed", description="Mining, responses, self-play")
    train: int = Field(default=1, title="Training seed", description="Reward models, SFT, PPO")
    eval: int = Field(default=1, title="Evaluation seed", description="Sampling in evaluations")
