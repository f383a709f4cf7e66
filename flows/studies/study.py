"""A study in the making: tables of evaluations by name, and the questions asked of them (`miniature_study.py`)."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from data_contracts.config.responders import Responder
from data_contracts.config.run_config import RunConfig
from data_contracts.errors import ConfigError
from data_contracts.folder_contracts import RewardCheckpoint
from data_contracts.handles import ModelHandle
from data_contracts.rows.rows import Rows
from data_contracts.store.stored import Folder
from data_contracts.tables.effects import EffectQuestion
from data_contracts.tables.evaluations import EvaluatedItem
from flows.ingredients import Ingredients
from tasks.tiny_world.judge_by_gold import judge_model_by_gold
from tasks.tiny_world.score_gold_pairs import score_answer_pairs, score_world_pairs

AUTHORS, RESPONDERS = "authors", "responders"


@dataclass
class Study:
    """Tables by name, and the questions asked of them."""

    config: RunConfig
    tables: dict[str, Rows[EvaluatedItem]] = field(default_factory=dict)
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
            subject=subject,
            model=model,
            questions=given.world.questions,
            world=world,
            world_seed=self.config.seeds.world,
            evaluation=self.config.evaluation,
            engine=self.config.engine,
            seed=self.config.seeds.eval,
            prompts=prompts,
            shots=responder.shots if responder else 0,
        )

    def pair_accuracy(self, given: Ingredients, name: str, reward_model: Folder[RewardCheckpoint]) -> dict[str, str]:
        """Pair accuracy on the authors' and on the responders' answers; returns the tables' names by whose answers."""
        assert self.config.world is not None
        assert given.world is not None
        engine, answers = self.config.engine, [self.tables[r.name] for r in self.config.responders]
        authors = score_world_pairs(
            reward_model=reward_model,
            questions=given.world.questions,
            world=self.config.world,
            world_seed=self.config.seeds.world,
            engine=engine,
        )
        made = {
            AUTHORS: authors,
            RESPONDERS: score_answer_pairs(reward_model=reward_model, answers=answers, engine=engine),
        }
        self.tables |= {f"pairs of {where} ({name})": table for where, table in made.items()}
        return {where: f"pairs of {where} ({name})" for where in made}

    def answer_as(self, given: Ingredients, responders: Iterable[Responder]) -> None:
        """Let prompted vanilla models answer."""
        for responder in responders:
            self.answer(given, responder.name, given.models[responder.model], responder)


def all_of(name: str) -> tuple[str, str]:
    """The rows of a table that holds one subject of the same name."""
    return name, name
