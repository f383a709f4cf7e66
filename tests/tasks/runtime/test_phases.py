"""The phases of a run, and the range of them that --until and --from ask for."""

import pytest

from data_contracts.errors import ConfigError
from tasks.runtime.phases import EVERY_PHASE, Phase, PhaseRange, PhaseReached, phase_named
from tasks.runtime.registry import all_steps


def test_the_phases_have_an_order():
    assert [phase.place for phase in Phase] == list(range(len(Phase)))
    assert Phase.WORLD.place < Phase.REWARD_MODEL.place < Phase.POLICY.place < Phase.EVALUATION.place


def test_an_open_range_covers_everything():
    for phase in (*Phase, None):
        assert EVERY_PHASE.covers(phase)
        EVERY_PHASE.check_reached(phase)
        EVERY_PHASE.check_computed("any_step", phase)


def test_until_stops_before_the_first_step_behind_it():
    until = PhaseRange(until=Phase.RESPONSES)
    steps = all_steps()
    for inside in ("build_tiny_world", "mine_queries", "sample_responses"):
        until.check_reached(steps[inside].declared.phase)
    until.check_reached(None)
    for behind in ("rank_comparisons", "train_reward_model", "optimize_policy", "judge_model_by_gold"):
        assert not until.covers(steps[behind].declared.phase)
        with pytest.raises(PhaseReached, match="responses"):
            until.check_reached(steps[behind].declared.phase)


def test_from_asks_that_earlier_steps_are_there():
    later = PhaseRange(from_=Phase.COMPARISONS)
    steps = all_steps()
    for computed in ("rank_comparisons", "optimize_policy"):
        later.check_computed(computed, steps[computed].declared.phase)
    with pytest.raises(
        ConfigError,
        match=r"--from comparisons: the outputs of mine_queries are not in the store .*; run once without --from, or with "
        r"--until queries$",
    ):
        later.check_computed("mine_queries", steps["mine_queries"].declared.phase)
    with pytest.raises(ConfigError, match=r"run once without --from$"):
        later.check_computed("some_step", None)
    later.check_reached(Phase.WORLD)


def test_names_and_ranges_are_checked():
    assert phase_named("--until", None) is None
    assert phase_named("--until", "sft") is Phase.SFT
    with pytest.raises(ConfigError, match="--until lunch: unknown phase; known: world, queries, responses"):
        phase_named("--until", "lunch")
    PhaseRange(Phase.SFT, Phase.SFT)
    with pytest.raises(ConfigError, match="--from policy lies behind --until queries"):
        PhaseRange(Phase.QUERIES, Phase.POLICY)


def test_every_phase_has_steps():
    assert {one.declared.phase for one in all_steps().values()} - {None} == set(Phase)
