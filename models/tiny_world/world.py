"""The facts of a tiny world and the train/dev/test split of its names and tasks (not in any paper).

It knows nothing of questions, answers or models. The corpus states facts of all names, since a model must know them;
the split is about which questions are used for queries and training, and which for evaluation.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

import numpy as np

from data_contracts.config.world import WorldConfig
from models.tiny_world.vocabulary import ATTRIBUTE_VALUES, NAME_CONSONANTS, NAME_VOWELS, TASK_STEPS


class Split(StrEnum):
    """Which part of the work may ask about a name or task."""

    TRAIN = "train"
    DEV = "dev"
    TEST = "test"


@dataclass(frozen=True)
class World:
    """Who there is, what is true of them, and how things are made."""

    config: WorldConfig
    seed: int
    facts: Mapping[str, Mapping[str, str]]  # name -> attribute -> value
    tasks: Mapping[str, tuple[str, str, str]]  # task -> three steps in order
    splits: Mapping[str, Split]  # name or task -> split

    def names(self, split: Split | None = None) -> tuple[str, ...]:
        """Names of a split, or all of them, in a fixed order."""
        return tuple(name for name in self.facts if split is None or self.splits[name] is split)

    def task_names(self, split: Split | None = None) -> tuple[str, ...]:
        """Tasks of a split, or all of them, in a fixed order."""
        return tuple(task for task in self.tasks if split is None or self.splits[task] is split)

    def values(self, attribute: str) -> tuple[str, ...]:
        """The values an attribute takes in this world."""
        return ATTRIBUTE_VALUES[attribute][: self.config.values_per_attribute]


def build_world(config: WorldConfig, seed: int) -> World:
    """Draw the names, their facts, the tasks and the split from `seed`."""
    rng = np.random.default_rng([seed, 1])
    names = _draw_names(config.names, rng)
    facts = {
        name: MappingProxyType(
            {
                attribute: values[int(rng.integers(config.values_per_attribute))]
                for attribute, values in ATTRIBUTE_VALUES.items()
            }
        )
        for name in names
    }
    tasks = [list(TASK_STEPS)[i] for i in rng.permutation(len(TASK_STEPS))[: config.how_to_tasks]]
    return World(
        config=config,
        seed=seed,
        facts=MappingProxyType(facts),
        tasks=MappingProxyType({task: TASK_STEPS[task] for task in tasks}),
        splits=MappingProxyType({**_split(names, config), **_split(tasks, config)}),
    )


def _draw_names(count: int, rng: np.random.Generator) -> list[str]:
    """Distinct consonant-vowel-consonant-vowel-consonant words, none of them a value of the world."""
    taken = {value for values in ATTRIBUTE_VALUES.values() for value in values}
    names: dict[str, None] = {}
    while len(names) < count:
        letters = [
            (NAME_VOWELS if position % 2 else NAME_CONSONANTS)[
                int(rng.integers(len(NAME_VOWELS if position % 2 else NAME_CONSONANTS)))
            ]
            for position in range(5)
        ]
        name = "".join(letters).capitalize()
        if name not in taken and name.lower() not in taken:
            names[name] = None
    return list(names)


def _split(items: list[str], config: WorldConfig) -> dict[str, Split]:
    """The items were drawn in random order, so the split goes by position; each side part has at least one."""
    dev = max(1, round(config.dev_share * len(items)))
    test = max(1, round(config.test_share * len(items)))
    return {
        item: Split.DEV if i < dev else Split.TEST if i < dev + test else Split.TRAIN for i, item in enumerate(items)
    }
