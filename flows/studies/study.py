"""A study in the making: tables of evaluations by name, and the questions asked of them (`miniature_study.py`)."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from data_contracts.config.responders import Responder
from data_contracts.config.run_config import RunConfig
from data_contracts.errors import ConfigError
from data_contracts.folder_contracts import Checkpoint
from data_contracts.handles import ModelHandle
from data_contracts.store.artifact import Artifact
from data_contracts.tables.effects import EffectQuestion
from data_contracts.tables.evaluations import EvaluatedItem
from flows.ingredients import Ingredients
from tasks.reward.score_preference_pairs import score_answer_pairs, score_world_pairs
from tasks.tiny_world.judge_by_gold import judge_model_by_gold

AUTHORS, RESPONDERS = "authors", "responders"


@dataclass
class Study:
    """Tables by name, and the questions asked of them."""

    config: RunConfig
    tables: dict[str, Artifact[EvaluatedItem]] = field(default_factory=dict)
    questions: list[EffectQuestion] = field(default_factory=list)

    def ask(
        self, effect: str, arm: str, first: tuple[str, str], second: tuple[str, str], group: str | None = None
    ) -> None:
        """Add the question of how much (table, subject) `first` is above `second`; with a group, in its rows only."""
        self.questions.append(
            EffectQuestion(
                effect=effect,
                arm=arm,
                first=first[0],
                first_subject=first[1],
                second=second[0],
                second_subject=second[1],
                group=group,
            )
        )

    def answer(self, given: Ingredients, subject: str, model: ModelHandle, responder: Responder | None = None) -> None:
        """Let a model answer the test questions, and judge it; table and subject have the same name."""
        world = self.config.world
        if world is None or given.world is None:
            raise ConfigError("the study needs a profile with a tiny world, such as tiny")
        prompts = given.prompts[responder.prompt] if responder else None
        self.tables[subject] = judge_model_by_gold(
            subject,
            model,
            given.world.questions,
            world,
            self.config.seeds.world,
            self.config.evaluation,
            self.config.engine,
            self.config.seeds.eval,
            prompts,
            responder.shots if responder else 0,
        )

    def pair_accuracy(self, given: Ingredients, name: str, reward_model: Artifact[Checkpoint]) -> dict[str, str]:
        """Pair accuracy on the authors' and on the responders' answers; returns the tables' names by whose answers."""
        assert self.config.world is not None
        assert given.world is not None
        engine, answers = self.config.engine, [self.tables[r.name] for r in self.config.responders]
        authors = score_world_pairs(
            reward_model, given.world.questions, self.config.world, self.config.seeds.world, engine
        )
        made = {AUTHORS: authors, RESPONDERS: score_answer_pairs(reward_model, answers, engine)}
        self.tables |= {f"pairs of {where} ({name})": table for where, table in made.items()}
        return {where: f"pairs of {where} ({name})" for where in made}

    def answer_as(self, given: Ingredients, responders: Iterable[Responder]) -> None:
        """Let prompted vanilla models answer."""
        for responder in responders:
            self.answer(given, responder.name, given.models[responder.model], responder)


def all_of(name: str) -> tuple[str, str]:
    """The rows of a table that holds one subject of the same name."""
    return name, name
