"""The bandit study gives the figures of an independent re-run of the paper's setting, within a seed's noise."""

import numpy as np
import pytest

from models.rl.teacher_critic_bandit import ACTIONS, BanditSettings, bell, fit_rewards, run_bandit, softmax


def test_imitation_beats_preferences_of_a_distant_student():
    found = run_bandit(BanditSettings(), seed=0)
    assert found.student == pytest.approx(40.0, abs=0.1)
    assert found.teacher == pytest.approx(78.5, abs=0.1)
    assert found.sft == pytest.approx(70.7, abs=0.2)
    assert found.rlaif == pytest.approx(51.9, abs=0.3)


@pytest.mark.parametrize(("centre", "rlaif"), [(60, 71.8), (80, 91.4)])
def test_preferences_overtake_with_a_student_near_the_teacher(centre: float, rlaif: float):
    settings = BanditSettings(student_centre=centre, sft_steps=1)
    assert run_bandit(settings, seed=1).rlaif == pytest.approx(rlaif, abs=0.3)


@pytest.mark.parametrize(("beta", "rlaif"), [(0.01, 52.6), (1.0, 44.8)])
def test_the_kl_coefficient(beta: float, rlaif: float):
    assert run_bandit(BanditSettings(beta=beta, sft_steps=1), seed=2).rlaif == pytest.approx(rlaif, abs=0.8)


def test_by_hand():
    """Without a step nothing is learnt; rewards of actions the student never took stay at zero."""
    assert softmax(np.log(np.array([1.0, 3.0]))) == pytest.approx([0.25, 0.75])
    still = run_bandit(BanditSettings(reward_steps=0, sft_steps=0), seed=3)
    assert (still.rlaif, still.sft) == (pytest.approx(still.student), pytest.approx((ACTIONS - 1) / 2))
    rewards = fit_rewards(bell(10), BanditSettings(samples=5_000, reward_steps=50), np.random.default_rng(4))
    assert rewards[80:] == pytest.approx(0)
    assert rewards[20] > rewards[5]
