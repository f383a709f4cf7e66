"""Measured effects: the difference between two groups of evaluated items, with its interval."""

from pydantic import BaseModel, ConfigDict, Field

from data_contracts.rows.row import Row
from data_contracts.rows.rules import at_least, finite


class EffectQuestion(BaseModel):
    """Which two sets of rows are compared: `first` - `second`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    effect: str = Field(title="Effect", description="What is asked, e.g. 'size: large - mid'")
    arm: str = Field(title="Arm", description="World and variant, e.g. 'with the as-is veto'")
    first: str = Field(title="First table", description="Name of a table of evaluations")
    first_subject: str = Field(title="First subject", description="Its rows")
    second: str = Field(title="Second table", description="Name of a table of evaluations")
    second_subject: str = Field(title="Second subject", description="Its rows")
    group: str | None = Field(None, title="Group", description="Only rows of this group, on both sides; null: all")


class Effect(Row, table="effects", key="effect_id"):
    """A row per question: means of both groups, their difference, and its 95 % interval by a cluster bootstrap.

    `clusters` is the number of people and tasks the questions are about: answers about one person err together.
    """

    effect_id: str
    effect: str
    arm: str
    first_mean: float
    second_mean: float
    difference: float
    low: float
    high: float
    first_rows: int
    second_rows: int
    clusters: int

    rules = (
        finite("first_mean"),
        finite("second_mean"),
        finite("difference"),
        at_least("first_rows", 1),
        at_least("second_rows", 1),
        at_least("clusters", 1),
    )
