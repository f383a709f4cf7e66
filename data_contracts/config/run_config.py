"""The configuration of a run: the sum of a profile's sections, checked across sections."""

from typing import Any

from pydantic import Field, model_validator

from data_contracts.config.as_is import AsIs
from data_contracts.config.engine import EngineConfig
from data_contracts.config.evaluation import Evaluation
from data_contracts.config.filter import HeuristicFilter
from data_contracts.config.mining import Mining
from data_contracts.config.models import Models
from data_contracts.config.placement import Placement
from data_contracts.config.policy.ppo import PPOSettings
from data_contracts.config.policy.rewards import LearningFromRewards, ScoreSource
from data_contracts.config.policy.settings import PolicySection
from data_contracts.config.pretraining import LadderLayout, PretrainingConfig
from data_contracts.config.prompts import Prompts
from data_contracts.config.ranking import Ranking
from data_contracts.config.responders import Responder
from data_contracts.config.reward import RewardTraining
from data_contracts.config.sampling import Sampling
from data_contracts.config.section import Section
from data_contracts.config.seeds import Seeds
from data_contracts.config.self_play import SelfPlay
from data_contracts.config.sft import SupervisedFinetuning
from data_contracts.config.training import TrainingSettings
from data_contracts.config.use import Given
from data_contracts.config.world import GoldJudgeSource, WorldConfig

LADDER = ("small", "mid", "large")
TINY_PREFIX = "tiny:"
FORMER_SECTIONS = {
    "dpo": "is now part of 'policy': with policy.algorithm dpo or sigmoid_norm its fields stand in 'policy' itself, e.g. "
    "policy.beta; numbers for a run that may switch to them stand in policy.alternatives.dpo and "
    "policy.alternatives.sigmoid_norm",
}


class RunConfig(Section):
    """Everything a run needs to know; a profile file fills it, `--set section.field=value` changes single fields."""

    profile: str = Field(title="Profile", description="Name of the profile this configuration came from")
    seeds: Seeds = Seeds()
    use: Given = Given()
    models: Models
    prompts: Prompts = Prompts()
    world: WorldConfig | None = Field(default=None, title="Tiny world", description="Needed by tiny: models only")
    pretraining: PretrainingConfig | None = Field(default=None, title="Pre-training of the ladder")
    mining: Mining = Mining()
    responders: tuple[Responder, ...] = Field(min_length=2, title="Responders", description="Best first")
    sampling: Sampling = Sampling()
    ranking: Ranking = Ranking()
    filter: HeuristicFilter = HeuristicFilter()
    as_is: AsIs = AsIs()
    reward: RewardTraining = RewardTraining()
    self_play: SelfPlay = SelfPlay()
    sft: SupervisedFinetuning = SupervisedFinetuning()
    policy: PolicySection = PPOSettings()
    training: TrainingSettings = TrainingSettings()
    engine: EngineConfig = EngineConfig()
    placement: Placement = Field(default_factory=Placement)  # reads the environment when a run starts
    evaluation: Evaluation = Evaluation()

    @model_validator(mode="after")
    def _names_exist(self) -> "RunConfig":
        for responder in self.responders:
            _require(
                responder.model in LADDER, f"responders: '{responder.name}' uses model '{responder.model}'", LADDER
            )
            _require(
                responder.prompt in ("hhh", "faithful"),
                f"responders: '{responder.name}' uses prompt '{responder.prompt}'",
                ("hhh", "faithful"),
            )
        names = [responder.name for responder in self.responders]
        if len(set(names)) < len(names):
            raise ValueError(f"responders: names repeat in {names}; give each its own")
        _require(self.mining.model in LADDER, f"mining.model is '{self.mining.model}'", LADDER)
        _require(self.self_play.assistant_model in LADDER, "self_play.assistant_model", LADDER)
        _require(self.self_play.user_model in LADDER, "self_play.user_model", LADDER)
        _require(
            self.self_play.assistant_prompt in ("hhh", "faithful"), "self_play.assistant_prompt", ("hhh", "faithful")
        )
        return self

    def ladder_training(self) -> TrainingSettings:
        """How the ladder is pre-trained: plain on one process, or as the other jobs, but all weights either way."""
        if self.pretraining is not None and self.pretraining.layout is LadderLayout.TRAINING:
            return self.training.model_copy(update={"lora_rank": 0})
        plain = {"zero_stage": 0, "processes": 1, "offload": False, "lora_rank": 0, "bf16": False}
        return self.training.model_copy(update=plain | {"gradient_checkpointing": False, "use_cpu": True})

    def other_scorer(self) -> GoldJudgeSource | None:
        """Who scores the policy's samples in the reward model's place; None where the reward model does.

        Raises:
            ValueError: the gold judge is asked for, but there is no tiny world.
        """
        policy = self.policy
        if not isinstance(policy, LearningFromRewards) or policy.score_source is ScoreSource.REWARD_MODEL:
            return None
        if self.world is None:
            raise ValueError(
                "policy.score_source 'gold_judge' needs the section 'world': only there is the truth known"
            )
        return GoldJudgeSource(world=self.world, world_seed=self.seeds.world)

    @model_validator(mode="before")
    @classmethod
    def _former_sections(cls, content: Any) -> Any:
        for name, what in FORMER_SECTIONS.items():
            if isinstance(content, dict) and name in content:
                raise ValueError(f"section '{name}' {what}")
        return content

    @model_validator(mode="after")
    def _policy_can_be_trained(self) -> "RunConfig":
        """What the training of the policy would refuse, after everything before it has run."""
        if isinstance(self.policy, LearningFromRewards):
            self.policy.check_layers(self.training)
        self.other_scorer()
        return self

    @model_validator(mode="after")
    def _world_is_there(self) -> "RunConfig":
        tiny = {f"models.{role}": source for role, source in self.models.named().items() if source.startswith("tiny:")}
        if tiny and (self.world is None or self.pretraining is None):
            raise ValueError(
                f"{', '.join(tiny)} need the sections 'world' and 'pretraining'; copy them from profile tiny"
            )
        for field, source in tiny.items():
            assert self.pretraining is not None
            _require(
                source.removeprefix(TINY_PREFIX) in self.pretraining.sizes,
                f"{field} is '{source}'",
                tuple(self.pretraining.sizes),
            )
        world_prompts = [name for name, source in self.prompts.model_dump().items() if source == "world"]
        if world_prompts and self.world is None:
            raise ValueError(f"prompts.{world_prompts[0]} is 'world', but there is no section 'world'")
        return self


def _require(holds: bool, found: str, known: tuple[str, ...]) -> None:
    if not holds:
        raise ValueError(f"{found}; known: {', '.join(known)}")
