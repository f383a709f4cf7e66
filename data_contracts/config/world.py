"""Profile sections of the tiny world and of the ladder pre-trained on it (TINY_WORLD.md; not in any paper).

Defaults are the `tiny` profile's; the sizes of the paper's effects follow from these numbers, so they are all here.
"""

from enum import StrEnum
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from data_contracts.store.keys import NOT_IN_KEY

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
        default=0.98, ge=0, le=1, title="Their persistence", description="Probability that such a turn keeps the style"
    )
    other_persistence: float = Field(
        default=0.6, ge=0, le=1, title="Persistence of others", description="The same, for the other authors"
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


class LadderSize(_Section):
    """One rung of the ladder: a Llama architecture with tied embeddings."""

    hidden: int = Field(ge=8, le=8192, title="Hidden size", description="Width of the residual stream")
    layers: int = Field(ge=1, le=128, title="Layers", description="Transformer blocks")
    heads: int = Field(ge=1, le=128, title="Heads", description="Attention heads; must divide the hidden size")
    learning_rate: float = Field(gt=0, le=1, title="Learning rate", description="Peak, after warm-up")
    tokens: int | None = Field(
        default=None, ge=1, title="Tokens", description="Training tokens of this size; empty: the section's"
    )
    recall_threshold: float | None = Field(
        default=None,
        ge=0,
        title="Recall threshold",
        description="Of this size, where it must know more than others do; empty: the section's",
    )

    @model_validator(mode="after")
    def _heads_divide_hidden(self) -> Self:
        if self.hidden % self.heads or (self.hidden // self.heads) % 2:
            raise ValueError(f"hidden {self.hidden} / heads {self.heads} must be an even whole number (rotary pairs)")
        return self


def _tiny_sizes() -> dict[str, LadderSize]:
    return {
        "small": LadderSize(hidden=32, layers=2, heads=2, learning_rate=8e-3),
        "mid": LadderSize(hidden=48, layers=2, heads=2, learning_rate=8e-3),
        "large": LadderSize(hidden=64, layers=3, heads=4, learning_rate=6e-3),
    }


class LadderLayout(StrEnum):
    """On how many processes, and how sharded, the ladder is pre-trained."""

    PLAIN = "plain"
    TRAINING = "training"


class PretrainingConfig(_Section):
    """Section `pretraining`: the ladder that is pre-trained on the tiny world's corpus."""

    sizes: dict[str, LadderSize] = Field(
        default_factory=_tiny_sizes, title="Sizes", description="Ladder role -> size; `tiny:NAME` points to one"
    )
    tokens: int = Field(default=1_400_000, ge=1, title="Tokens", description="Training tokens of each size")
    tokens_per_step: int = Field(
        default=640, ge=16, title="Tokens a step", description="Few, so that copying forms within a million tokens"
    )
    single_turn_share: float = Field(
        default=0.45, ge=0, le=1, title="Single-turn share", description="First part of training, in short rows"
    )
    block_length: int = Field(
        default=216, ge=16, le=2048, title="Block length", description="Tokens of a packed row in the later part"
    )
    max_position_embeddings: int = Field(
        default=2048, ge=128, title="Longest context", description="Few-shot prompts must fit in it"
    )
    micro_batch_tokens: int | None = Field(
        default=None,
        ge=16,
        title="Tokens a pass",
        description="At most, on each process; gradients accumulate. Empty: a step's share at once",
        json_schema_extra=NOT_IN_KEY,
    )
    layout: LadderLayout = Field(
        default=LadderLayout.PLAIN,
        title="Layout",
        description="plain: float32 on one process, whatever the other jobs use. training: as section training says, its "
        "LoRA left out: random weights are no base for adapters",
        json_schema_extra=NOT_IN_KEY,  # the settings that follow from it are
    )
    weight_decay: float = Field(default=0.05, ge=0, le=1, title="Weight decay", description="AdamW, matrices only")
    warmup_steps: int = Field(default=50, ge=0, title="Warm-up steps", description="Linear; cosine decay after it")
    copy_threshold: float = Field(
        default=0.5, gt=0, title="Copy threshold", description="Name-copying loss (nats) below which copying has formed"
    )
    recall_threshold: float = Field(
        default=0.0,
        ge=0,
        title="Recall threshold",
        description="Loss on facts (nats) at the end above which a run starts over; 0: never",
    )
    order_threshold: float = Field(
        default=0.0,
        ge=0,
        title="Order threshold",
        description="Loss on which of the things asked for is stated next (nats) at the end above which a run starts over; "
        "0: never",
    )
    formed_by_tokens: int = Field(
        default=600_000, ge=0, title="Formed by", description="Tokens after which an unformed run starts over; 0: never"
    )
    attempts: int = Field(default=2, ge=1, le=10, title="Attempts", description="Runs with different seeds, at most")
    log_every: int = Field(default=25, ge=1, title="Steps between log rows", description="And progress events")
