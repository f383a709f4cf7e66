"""Facts, names and the split."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from data_contracts.config.pretraining import LadderSize
from data_contracts.config.world import QuestionShares, WorldConfig
from models.tiny_world.answers import true_items
from models.tiny_world.questions import parse_question
from models.tiny_world.seeds_and_prompts import prompt_files
from models.tiny_world.vocabulary import ATTRIBUTE_VALUES, TASK_STEPS
from models.tiny_world.world import Split, World, build_world


def test_equal_seeds_make_equal_worlds_and_others_do_not() -> None:
    config = WorldConfig(names=20)
    assert build_world(config, 3).facts == build_world(config, 3).facts
    assert build_world(config, 3).facts != build_world(config, 4).facts


@settings(max_examples=25, deadline=None)
@given(names=st.integers(6, 200), tasks=st.integers(3, 12), seed=st.integers(0, 10_000))
def test_every_subject_has_one_split_and_no_split_is_empty(names: int, tasks: int, seed: int) -> None:
    world = build_world(WorldConfig(names=names, how_to_tasks=tasks), seed)
    parts = [world.names(split) for split in Split]
    assert sorted(name for part in parts for name in part) == sorted(world.facts)
    assert len(world.facts) == names
    assert len(world.tasks) == tasks
    assert all(parts)
    assert all(world.task_names(split) for split in Split)


def test_default_split_is_98_21_21() -> None:
    world = build_world(WorldConfig(), 1)
    assert [len(world.names(split)) for split in Split] == [98, 21, 21]
    assert [len(world.task_names(split)) for split in Split] == [6, 2, 2]


def test_values_belong_to_one_attribute_and_are_no_names(small_world: World) -> None:
    values = [value for values in ATTRIBUTE_VALUES.values() for value in values]
    assert len(values) == len(set(values)) == 80
    assert not set(values) & set(small_world.facts)
    words_of_steps = {word for steps in TASK_STEPS.values() for step in steps for word in step.split()}
    assert not words_of_steps & (set(values) | set(ATTRIBUTE_VALUES))


def test_steps_belong_to_one_task() -> None:
    steps = [step for steps in TASK_STEPS.values() for step in steps]
    assert len(steps) == len(set(steps)) == 36


def test_shares_that_do_not_add_up_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"add up to 1\.1000, expected 1"):
        QuestionShares(how_to=0.25)


def test_heads_must_divide_the_hidden_size() -> None:
    with pytest.raises(ValidationError, match="hidden 32 / heads 5"):
        LadderSize(hidden=32, layers=1, heads=5, learning_rate=1e-3)


@pytest.mark.parametrize("seed", range(4))
def test_average_demonstrations_show_what_is_average(seed: int) -> None:
    """Where more than one thing is asked, every average demonstration leaves something out; helpful ones never do."""
    world = build_world(WorldConfig(), seed)
    prompts = prompt_files(world, seed)
    average = [block for block in prompts["hhh"].split("-----") if "Assistant:" in block]
    assert len(average) == 14
    for block in average:
        question = parse_question(block.split("Human: ")[1].split("\n")[0])
        assert question is not None
        assert ("And more." in block) == (len(true_items(world, question)) > 1)
    assert "And more." not in prompts["faithful"]
