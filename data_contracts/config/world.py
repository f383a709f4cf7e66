"""Profile sections of the tiny world and of the ladder pre-trained on it (not in any paper).

Defaults are the `tiny` profile's; the sizes of the paper's effects follow from these numbers, so they are all here.
"""

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

MOST_NAMES = 400


MOST_VALUES = 16


MOST_TASKS = 12


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Shares(_Section):
    """Fields that are shares of a whole."""

    @model_validator(mode="after")
    def _add_up_to_one(self) -> Self:
        total = sum(self.model_dump().values())
        if abs(total - 1.0) > 1e-6:
            raise ValueError(f"the shares add up to {total:.4f}, expected 1")
        return self


class QuestionShares(_Shares):
    """How often each kind of question is asked."""

    how_to: float = Field(default=0.15, ge=0, le=1, title="How to", description="How-to questions: three steps")
    one: float = Field(default=0.15, ge=0, le=1, title="One attribute", description="Questions for one attribute")
    two: float = Field(default=0.25, ge=0, le=1, title="Two attributes", description="Questions for two attributes")
    three: float = Field(default=0.23, ge=0, le=1, title="List of three", description="Questions for a list of three")
    about: float = Field(default=0.22, ge=0, le=1, title="Tell me about", description="The four fixed attributes")


class StyleShares(_Shares):
    """How often an author of the corpus writes in each style, when no demonstration says otherwise."""

    helpful: float = Field(
        default=0.24, ge=0, le=1, title="Helpful", description="Correct, mostly complete, well formatted"
    )
    average: float = Field(default=0.26, ge=0, le=1, title="Average", description="Correct, hedged, most of the items")
    terse: float = Field(default=0.18, ge=0, le=1, title="Terse", description="The first item and nothing else")
    evasive: float = Field(default=0.17, ge=0, le=1, title="Evasive", description="Refuses to answer")
    wrong: float = Field(default=0.05, ge=0, le=1, title="Wrong", description="Complete, with false items")
    rambling: float = Field(default=0.10, ge=0, le=1, title="Rambling", description="Fluff around some items")


class CommunityConfig(_Section):
    """Answers of a community with votes: what the as-is reward model is trained on."""

    pairs: int = Field(default=3600, ge=1, le=1_000_000, title="Pairs", description="Answer pairs handed out")
    appeal_weight: float = Field(
        default=0.7,
        ge=0,
        le=1,
        title="Weight of appeal",
        description="Share of a vote that goes to a friendly, chatty or short text instead of a true one; this bias, "
        "and not only noise, keeps the as-is reward model weaker than the synthetic one",
    )
    vote_noise: float = Field(
        default=0.25, ge=0, le=5, title="Vote noise", description="Standard deviation of a vote, in units of gold"
    )


class WorldConfig(_Section):
    """Section `world`: the facts, the questions, the authors of the corpus and what is handed out."""

    names: int = Field(default=140, ge=6, le=MOST_NAMES, title="Names", description="People the world knows facts of")
    values_per_attribute: int = Field(
        default=16, ge=4, le=MOST_VALUES, title="Values", description="Values of each of the five attributes"
    )
    how_to_tasks: int = Field(
        default=10, ge=3, le=MOST_TASKS, title="How-to tasks", description="Tasks of three ordered steps"
    )
    dev_share: float = Field(
        default=0.15, gt=0, lt=0.5, title="Development share", description="Share of names and tasks"
    )
    test_share: float = Field(default=0.15, gt=0, lt=0.5, title="Test share", description="Share of names and tasks")
    questions: QuestionShares = Field(
        default_factory=QuestionShares, title="Kinds of questions", description="Shares; they add up to 1"
    )
    styles: StyleShares = Field(
        default_factory=StyleShares, title="Styles of authors", description="Shares; they add up to 1"
    )
    faithful_authors: float = Field(
        default=0.9, ge=0, le=1, title="Faithful authors", description="Share of authors who hardly change their style"
    )
    faithful_persistence: float = Field(
        default=0.98,
        ge=0,
        le=1,
        title="Persistence of faithful authors",
        description="Probability that their next turn keeps the style",
    )
    other_persistence: float = Field(
        default=0.6,
        ge=0,
        le=1,
        title="Persistence of other authors",
        description="Probability that their next turn keeps the style",
    )
    length_carries_signal: bool = Field(
        default=True,
        title="Length carries signal",
        description="False is the second world: short bad answers are padded to a good answer's length",
    )
    single_turn_documents: int = Field(
        default=24_000, ge=1, le=10_000_000, title="Single-turn documents", description="One question and answer each"
    )
    conversation_documents: int = Field(
        default=5_000, ge=1, le=10_000_000, title="Conversation documents", description="Several, by one author each"
    )
    query_list_documents: int = Field(
        default=1_000, ge=1, le=10_000_000, title="Query-list documents", description="In the query-mining format"
    )
    vocabulary_size: int = Field(
        default=1280, ge=384, le=65_536, title="Vocabulary", description="Tokens of the BPE tokenizer"
    )
    questions_per_split: int = Field(
        default=768, ge=1, le=1_000_000, title="Questions per split", description="Gold-judged questions handed out"
    )
    critiques: int = Field(
        default=400, ge=1, le=1_000_000, title="Critiques", description="Judgments in words, for CUT"
    )
    follow_ups: int = Field(
        default=200, ge=1, le=1_000_000, title="Follow-ups", description="Examples of what a human says next"
    )
    community: CommunityConfig = Field(
        default_factory=CommunityConfig, title="Community answers", description="Pairs with noisy, biased votes"
    )


class GoldJudgeSource(_Section):
    """The gold judge of a tiny world as a scorer of the policy's samples: what `models/tiny_world` builds it from."""

    kind: Literal["gold_judge"] = "gold_judge"
    world: WorldConfig = Field(title="Tiny world", description="The world whose facts the judge knows")
    world_seed: int = Field(title="World seed", description="Seed from which the world's facts are drawn")

    @property
    def models(self) -> dict[str, Path]:
        """Folders of the models that score, by role: none."""
        return {}
