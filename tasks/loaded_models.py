"""From model handles to folders and engines; the step that opens an engine owns it."""

from pathlib import Path

from data_contracts.artifact import Artifact
from data_contracts.errors import ConfigError
from data_contracts.folder_contracts import Checkpoint
from data_contracts.model_handle import ModelHandle
from data_contracts.sections import EngineConfig
from models.engines import open_engine
from models.engines.protocol import Engine
from models.reward_model import RewardModel
from tasks.step_context import active_store, count, count_rate, startup


def folder_of(model: ModelHandle) -> Path:
    """The local folder of a model; a checkpoint of this project is materialised first."""
    if model.artifact is not None:
        checkpoint = Artifact(contract=model.artifact.split("/")[0], path=model.artifact, digest=model.digest, rows=0)
        return active_store().local_folder(checkpoint)
    if model.folder is None:
        raise ConfigError(f"model {model.name} has neither a folder nor a checkpoint; resolve it first")
    return Path(model.folder)


def as_model(name: str, checkpoint: Artifact) -> ModelHandle:
    """A checkpoint of this project as a model to load."""
    return ModelHandle(name=name, digest=checkpoint.digest, artifact=checkpoint.path)


def open_reward_model(checkpoint: Artifact[Checkpoint], engine: EngineConfig) -> RewardModel:
    """A reward model of this project, loaded as the profile's engine section says; loading counts as start-up."""
    with startup():
        return RewardModel(
            folder_of(as_model("reward", checkpoint)),
            threads=engine.threads,
            batch_size=engine.batch_size,
            device=None if engine.device == "auto" else engine.device,
        )


class LazyEngine:
    """Opens the engine when the first row is really needed: a resumed step may need none."""

    def __init__(self, model: ModelHandle, config: EngineConfig) -> None:
        self.model = model
        self.config = config
        self._engine: Engine | None = None

    def open(self) -> Engine:
        """The engine; loading counts as start-up."""
        if self._engine is None:
            with startup():
                self._engine = open_engine(self.config, folder_of(self.model))
        return self._engine

    def count_tokens(self) -> None:
        """Add the engine's counters to the step's."""
        if self._engine is not None:
            counters = self._engine.counters
            count(
                prompt_tokens=counters.prompt_tokens,
                unique_prompt_tokens=counters.unique_prompt_tokens,
                computed_prompt_tokens=counters.computed_prompt_tokens,
                padded_tokens=counters.padded_tokens,
                generated_tokens=counters.generated_tokens,
                generation_s=counters.seconds,
            )
            count_rate("generated_tokens_per_s", "generated_tokens", "generation_s")
