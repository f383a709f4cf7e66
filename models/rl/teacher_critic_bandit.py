"""The bandit of "A Critical Evaluation of AI Feedback" (2402.12366): does preference learning beat imitation?

100 actions, an action's true reward is its index. A strong teacher and a weak student are bell curves over the actions.
RLAIF: Bradley-Terry labels by true reward on pairs of the student's own actions, a reward per action fitted to them, and
the optimum of the KL-regularised objective, student x exp(reward / beta). SFT: imitation of the teacher's samples. What
the paper observes follows: a student far from the teacher is better served by SFT, because its own pairs say little about
actions it never takes; RLAIF overtakes when the student's centre is near 59.

Departures: 1. The paper's figure gives curves, not numbers; those the tests hold are of an independent re-run of the
setting (three seeds). 2. Sampled pairs are counted into a 100 x 100 matrix: full-batch steps on counts are the same steps.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
ACTIONS = 100
WIDTH = 300.0  # exp(-(i - centre)^2 / WIDTH)


@dataclass(frozen=True)
class BanditSettings:
    """The paper's numbers; `beta` is the KL coefficient of RLAIF."""

    teacher_centre: float = 80
    student_centre: float = 40
    samples: int = 250_000
    learning_rate: float = 0.01
    reward_steps: int = 7_500
    sft_steps: int = 15_000
    beta: float = 0.1


@dataclass(frozen=True)
class BanditResult:
    """Expected true reward of each policy."""

    student: float
    teacher: float
    sft: float
    rlaif: float


def run_bandit(settings: BanditSettings, seed: int) -> BanditResult:
    """Both ways of learning, once."""
    rng = np.random.default_rng(seed)
    student, teacher = bell(settings.student_centre), bell(settings.teacher_centre)
    imitated = imitate(rng.choice(ACTIONS, settings.samples, p=teacher), settings)
    rewards = fit_rewards(student, settings, rng)
    policies = student, teacher, imitated, softmax(np.log(student) + rewards / settings.beta)
    return BanditResult(*(float(policy @ np.arange(ACTIONS)) for policy in policies))


def bell(centre: float) -> Floats:
    """A policy around an action, (ACTIONS,)."""
    away = np.arange(ACTIONS, dtype=np.float64) - centre
    return softmax(-away * away / WIDTH)


def fit_rewards(student: Floats, settings: BanditSettings, rng: np.random.Generator) -> Floats:
    """A reward per action from labelled pairs of the student's actions, by full-batch gradient descent from zero."""
    first, second = (rng.choice(ACTIONS, settings.samples, p=student) for _ in range(2))
    better = rng.random(settings.samples) < 1 / (1 + np.exp(second - first.astype(float)))
    pairs = np.zeros((ACTIONS, ACTIONS))  # share of pairs in which the row's action beat the column's
    np.add.at(pairs, (np.where(better, first, second), np.where(better, second, first)), 1 / settings.samples)
    rewards = np.zeros(ACTIONS)
    for _ in range(settings.reward_steps):
        surprise = pairs / (1 + np.exp(rewards[:, None] - rewards[None, :]))
        rewards += settings.learning_rate * (surprise.sum(axis=1) - surprise.sum(axis=0))
    return rewards


def imitate(actions: NDArray[np.int64], settings: BanditSettings) -> Floats:
    """A softmax policy fitted to samples by full-batch gradient descent on the cross-entropy, from zero."""
    shares = np.bincount(actions, minlength=ACTIONS) / len(actions)
    logits = np.zeros(ACTIONS)
    for _ in range(settings.sft_steps):
        logits += settings.learning_rate * (shares - softmax(logits))
    return softmax(logits)


def softmax(logits: Floats) -> Floats:
    """exp, normalised."""
    weights = np.exp(logits - logits.max())
    return weights / weights.sum()
