"""What a run starts from: vanilla models, prompts, community answers, evaluation texts."""

from dataclasses import dataclass

from data_contracts.config.reward import LikelihoodFeature, RewardTraining
from data_contracts.config.run_config import RunConfig
from data_contracts.folder_contracts import Checkpoint
from data_contracts.handles import ModelHandle, PromptHandle
from data_contracts.store.artifact import Artifact
from data_contracts.tables.community_answers import CommunityAnswer
from data_contracts.tables.evaluation_texts import EvaluationText
from flows.running.run_stage import run_stage
from flows.running.stages import PRETRAIN_LADDER
from tasks.feedback.gather_evaluation_texts import gather_evaluation_texts
from tasks.feedback.load_community_answers import load_community_answers
from tasks.inputs.resolve_evaluation_sets import resolve_evaluation_sets
from tasks.inputs.resolve_files import resolve_file
from tasks.inputs.resolve_models import resolve_models
from tasks.inputs.resolve_prompts import resolve_prompts
from tasks.tiny_world.build_tiny_world import TinyWorld, build_tiny_world


@dataclass(frozen=True)
class Ingredients:
    """Handles to everything the paper takes as given."""

    models: dict[str, ModelHandle]
    prompts: dict[str, PromptHandle]
    evaluation_texts: Artifact[EvaluationText]
    community_answers: Artifact[CommunityAnswer] | None
    world: TinyWorld | None

    def likelihood_base(self, reward: RewardTraining) -> ModelHandle | None:
        """The frozen model of the likelihood feature, None where it is off."""
        if reward.likelihood is LikelihoodFeature.OFF:
            return None
        return self.models.get("likelihood", self.models["reward"])


def prepare_ingredients(config: RunConfig) -> Ingredients:
    """Build the tiny world and its ladder if the profile has them, and resolve models and prompts by content."""
    world = build_tiny_world(config.world, config.seeds.world) if config.world else None
    ladder = _ladder(config, world)
    return Ingredients(
        models=resolve_models(config, ladder),
        prompts=resolve_prompts(config, world.prompts if world else None),
        evaluation_texts=gather_evaluation_texts(
            resolve_evaluation_sets(config.evaluation),
            world.questions if world else None,
            config.world,
            config.seeds.world,
        ),
        community_answers=_community_answers(config, world),
        world=world,
    )


def _ladder(config: RunConfig, world: TinyWorld | None) -> dict[str, Artifact[Checkpoint]]:
    if world is None or config.pretraining is None:
        return {}
    trained = run_stage(
        # Plain unless asked for: another ZeRO stage or number of ranks of the other jobs does not pre-train it again.
        PRETRAIN_LADDER,
        config.placement,
        world,
        config.pretraining,
        config.ladder_training(),
        config.seeds.ladder,
    )
    return {name: model.checkpoint for name, model in trained.items()}


def _community_answers(config: RunConfig, world: TinyWorld | None) -> Artifact[CommunityAnswer] | None:
    if not config.as_is.enabled:
        return None
    if config.as_is.pairs_file:
        return load_community_answers(resolve_file("as_is.pairs_file", config.as_is.pairs_file))
    return world.community_answers if world else None
