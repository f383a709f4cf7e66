"""`--until` and `--from`: which part of the paper a run covers.

The stages below are the names a person gives; each ends with the steps listed beside it. `until` stops the run before
the first step behind that stage; `from_` asks that every step before that stage is in the store already.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum

from data_contracts.errors import ConfigError


class StageName(StrEnum):
    """The stages of a run, in order."""

    WORLD = "world"
    QUERIES = "queries"
    RESPONSES = "responses"
    COMPARISONS = "comparisons"
    REWARD_MODEL = "reward_model"
    DEMONSTRATIONS = "demonstrations"
    SFT = "sft"
    POLICY = "policy"
    EVALUATION = "evaluation"


STEPS = {
    StageName.WORLD: ("build_tiny_world", "pretrain_model"),
    StageName.QUERIES: ("gather_evaluation_texts", "mine_queries", "load_queries", "check_contamination"),
    StageName.RESPONSES: ("sample_responses",),
    StageName.COMPARISONS: (
        "accumulate_queries",
        "accumulate_comparisons",
        "rank_comparisons",
        "filter_comparisons",
        "load_community_answers",
        "train_as_is_reward_model",
        "judge_by_as_is",
    ),
    StageName.REWARD_MODEL: ("train_reward_model",),
    StageName.DEMONSTRATIONS: ("self_play",),
    StageName.SFT: ("finetune_policy",),
    StageName.POLICY: ("optimize_policy", "optimize_by_preferences"),
    StageName.EVALUATION: (
        "judge_responses_by_gold",
        "score_gold_pairs",
        "score_answer_pairs",
        "score_world_pairs",
        "judge_comparisons_by_gold",
        "measure_effects",
        "score_preference_file",
        "judge_model_by_gold",
        "judge_demonstrations_by_gold",
        "evaluate_benchmark",
        "reward_benchmark",
        "gather_questions",
        "answer_questions",
        "judge_pairs",
        "score_topics",
        "make_reward_card",
        "make_preference_card",
    ),
}
_ORDER = list(STEPS)
_STAGE_OF = {step: stage for stage, steps in STEPS.items() for step in steps}


class StageReached(Exception):
    """Raised before the first step behind `until`."""


@dataclass(frozen=True)
class StageRange:
    """The stages a run covers; None is open."""

    until: StageName | None = None
    from_: StageName | None = None

    def __post_init__(self) -> None:
        if self.until and self.from_ and _ORDER.index(self.from_) > _ORDER.index(self.until):
            raise ConfigError(f"--from {self.from_} lies behind --until {self.until}: nothing would run; swap them")


OPEN_RANGE = StageRange()
_RANGE: ContextVar[StageRange] = ContextVar("stage_range", default=OPEN_RANGE)


def stage_named(option: str, name: str | None) -> StageName | None:
    """The stage that an option names, None when it was left out.

    Raises:
        ConfigError: no such stage.
    """
    if name is None:
        return None
    try:
        return StageName(name)
    except ValueError as error:
        raise ConfigError(f"{option} {name}: unknown stage; known: {', '.join(StageName)}") from error


@contextmanager
def covering(stages: StageRange) -> Iterator[None]:
    """Limit the steps inside to a range of stages."""
    token = _RANGE.set(stages)
    try:
        yield
    finally:
        _RANGE.reset(token)


def check_reached(step: str) -> None:
    """Raise StageReached when `step` lies behind the last stage asked for."""
    until = _RANGE.get().until
    if until is not None and not is_covered(step):
        raise StageReached(until.value)


def is_covered(step: str) -> bool:
    """Whether `step` lies before the end of the range, or at it."""
    until = _RANGE.get().until
    return until is None or _position(step) <= _ORDER.index(until)


def require_found(step: str) -> None:
    """Raise ConfigError when `step` lies before the first stage asked for, but would have to be computed."""
    from_ = _RANGE.get().from_
    if from_ is not None and _position(step) < _ORDER.index(from_):
        raise ConfigError(
            f"--from {from_}: the outputs of {step} are not in the store for this configuration; "
            f"run once without --from, or with --until {_STAGE_OF[step]}"
        )


def _position(step: str) -> int:
    stage = _STAGE_OF.get(step)
    return -1 if stage is None else _ORDER.index(stage)
