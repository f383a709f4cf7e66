"""Benchmarks for a reward model: of several answers to one context, the one with the highest reward is its choice.

So the paper's rows "RM" of Table 1 are made, and the pair accuracy of Table 3.
"""

from collections.abc import Sequence
from typing import Protocol

from data_contracts.conversation import Conversation, Role, Turn
from data_contracts.tables.evaluations import EvaluatedItem, evaluated_item
from models.evaluation.benchmarks.choice_items import choice_value
from models.evaluation.benchmarks.questions import BenchmarkQuestion


class Rewards(Protocol):
    """What is asked of a reward model; `models.reward.reward_model.RewardModel` is one."""

    max_length: int | None

    def fits(self, conversation: Sequence[Turn]) -> bool: ...
    def score_groups(self, groups: Sequence[tuple[Sequence[Turn], Sequence[str]]]) -> list[list[float]]: ...


def reward_questions(
    model: Rewards, questions: Sequence[BenchmarkQuestion], benchmark: str, subject: str
) -> list[EvaluatedItem]:
    """The questions with the model's choices, in their order; `option_scores` are the rewards of the answers."""
    fitting = [
        all(model.fits(_with(question.context, answer)) for answer in question.answers) for question in questions
    ]
    asked = [question for question, fits in zip(questions, fitting, strict=True) if fits]
    rewards = iter(model.score_groups([(question.context, question.answers) for question in asked]))
    return [
        _row(model, benchmark, subject, question, next(rewards) if fits else None)
        for question, fits in zip(questions, fitting, strict=True)
    ]


def _with(context: Conversation, answer: str) -> Conversation:
    return (*context, Turn(Role.ASSISTANT, answer))


def _row(
    model: Rewards, benchmark: str, subject: str, question: BenchmarkQuestion, rewards: list[float] | None
) -> EvaluatedItem:
    return evaluated_item(
        benchmark,
        subject,
        question.item_id,
        question.context[-1].text,
        "accuracy",
        None if rewards is None else choice_value(rewards, question.correct, tie=0.0),
        group=question.group,
        options=question.answers,
        option_scores=None if rewards is None else tuple(rewards),
        correct_option=question.correct,
        skipped_because=None
        if rewards
        else f"the last exchange is longer than the model's {model.max_length} positions",
    )
