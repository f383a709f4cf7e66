"""What a run starts from: vanilla models, prompts, community answers, evaluation texts."""

from dataclasses import dataclass

from data_contracts.config.reward import LikelihoodFeature, RewardTraining
from data_contracts.config.run_config import RunConfig
from data_contracts.folder_contracts import VanillaCheckpoint
from data_contracts.handles import ModelHandle, PromptHandle
from data_contracts.rows.rows import Rows
from data_contracts.store.stored import Folder
from data_contracts.tables.community_answers import CommunityAnswer
from data_contracts.tables.evaluation_texts import EvaluationText
from tasks.feedback.gather_evaluation_texts import gather_evaluation_texts
from tasks.feedback.load_community_answers import load_community_answers
from tasks.inputs.resolve_evaluation_sets import resolve_evaluation_sets
from tasks.inputs.resolve_files import resolve_file
from tasks.inputs.resolve_models import resolve_models
from tasks.inputs.resolve_prompts import resolve_prompts
from tasks.tiny_world.build_tiny_world import TinyWorld, build_tiny_world
from tasks.tiny_world.pretrain_model import pretrain_model
from tasks.tiny_world.world_evaluation_texts import world_evaluation_texts


@dataclass(frozen=True)
class Ingredients:
    """Handles to everything the paper takes as given."""

    models: dict[str, ModelHandle]
    prompts: dict[str, PromptHandle]
    evaluation_texts: Rows[EvaluationText]
    community_answers: Rows[CommunityAnswer] | None
    world: TinyWorld | None

    def likelihood_base(self, reward: RewardTraining) -> ModelHandle | None:
        """The frozen model of the likelihood feature, None where it is off."""
        if reward.likelihood is LikelihoodFeature.OFF:
            return None
        return self.models.get("likelihood", self.models["reward"])


def prepare_ingredients(config: RunConfig) -> Ingredients:
    """Build the tiny world and its ladder if the profile has them, and resolve models and prompts by content."""
    world = build_tiny_world(world=config.world, seed=config.seeds.world) if config.world else None
    ladder = pretrain_ladder(config, world)
    return Ingredients(
        models=resolve_models(config, ladder),
        prompts=resolve_prompts(config, world.prompts if world else None),
        evaluation_texts=gather_evaluation_texts(
            files=resolve_evaluation_sets(config.evaluation), more=_texts_of_world(config, world)
        ),
        community_answers=_community_answers(config, world),
        world=world,
    )


def pretrain_ladder(config: RunConfig, world: TinyWorld | None) -> dict[str, Folder[VanillaCheckpoint]]:
    """Pre-train the tiny world's models, their sizes beside each other; nothing without a tiny world."""
    if world is None or config.pretraining is None:
        return {}
    running = {
        name: pretrain_model.submit(
            name=name,
            documents=world.documents,
            tokenizer=world.tokenizer,
            size=size,
            pretraining=config.pretraining.model_copy(update={"sizes": {}}),
            # Plain unless asked for: another ZeRO stage or number of ranks of the other jobs does not pre-train again.
            training=config.ladder_training(),
            seed=config.seeds.ladder,
        )
        for name, size in reversed(config.pretraining.sizes.items())  # the largest first: it takes longest
    }
    return {name: running[name].result().checkpoint for name in config.pretraining.sizes}


def _texts_of_world(config: RunConfig, world: TinyWorld | None) -> Rows[EvaluationText] | None:
    if world is None or config.world is None:
        return None
    return world_evaluation_texts(questions=world.questions, world=config.world, world_seed=config.seeds.world)


def _community_answers(config: RunConfig, world: TinyWorld | None) -> Rows[CommunityAnswer] | None:
    if not config.as_is.enabled:
        return None
    if config.as_is.pairs_file:
        return load_community_answers(file=resolve_file("as_is.pairs_file", config.as_is.pairs_file))
    return world.community_answers if world else None
