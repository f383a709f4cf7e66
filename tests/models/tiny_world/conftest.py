"""One small world drawn from a seed, and one written by hand."""

import pytest

from data_contracts.config.world import WorldConfig
from models.tiny_world.vocabulary import TASK_STEPS
from models.tiny_world.world import Split, World, build_world

SMALL = WorldConfig(
    names=30,
    how_to_tasks=4,
    single_turn_documents=60,
    conversation_documents=40,
    query_list_documents=10,
    vocabulary_size=900,
)


@pytest.fixture(scope="session")
def small_world() -> World:
    return build_world(SMALL, seed=5)


@pytest.fixture(scope="session")
def hand_world() -> World:
    """Mira (train) and Tovik (test) with known facts, and how to make tea and jam."""
    facts = {
        "Mira": {"colour": "red", "food": "plum", "job": "smith", "pet": "fox", "town": "Rome"},
        "Tovik": {"colour": "blue", "food": "rice", "job": "pilot", "pet": "cat", "town": "Oslo"},
    }
    return World(
        config=SMALL,
        seed=0,
        facts=facts,
        tasks={"tea": TASK_STEPS["tea"], "jam": TASK_STEPS["jam"]},
        splits={"Mira": Split.TRAIN, "Tovik": Split.TEST, "tea": Split.TRAIN, "jam": Split.TEST},
    )
