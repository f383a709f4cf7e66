"""From model handles to folders and engines; the step that opens an engine owns it."""

import re
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from data_contracts.config.engine import EngineConfig, EngineKind
from data_contracts.errors import ConfigError
from data_contracts.folder_contracts import RewardCheckpoint
from data_contracts.handles import ModelHandle
from data_contracts.store.artifact import Artifact
from data_contracts.store.stored import Folder, StoredFolder
from models.engines import open_engine, opened_engine
from models.engines.protocol import Engine
from models.reward.reward_model import RewardModel
from tasks.runtime.context import at_end, count, count_rate, current, job_folder, startup


def folder_of(model: ModelHandle) -> Path:
    """The local folder of a model; a checkpoint of this project is fetched from the store first."""
    if model.artifact is not None:
        checkpoint = Artifact(contract=model.artifact.split("/")[0], path=model.artifact, digest=model.digest, rows=0)
        return current().open_store().local_folder(checkpoint)
    if model.folder is None:
        raise ConfigError(f"model {model.name} has neither a folder nor a checkpoint; resolve it first")
    return Path(model.folder)


def as_model(name: str, checkpoint: Folder[Any]) -> ModelHandle:
    """A checkpoint of this project as a model to load."""
    if isinstance(checkpoint, StoredFolder):
        return ModelHandle(name=name, digest=checkpoint.artifact.digest, artifact=checkpoint.artifact.path)
    return ModelHandle(name=name, digest="local", folder=str(checkpoint.local()))


def open_reward_model(model: Folder[RewardCheckpoint] | ModelHandle, engine: EngineConfig) -> RewardModel:
    """A reward model, loaded as the profile's engine section says; loading counts as start-up."""
    with startup():
        return RewardModel(
            folder_of(model) if isinstance(model, ModelHandle) else model.local(),
            threads=engine.threads,
            batch_size=engine.batch_size,
            device=None if engine.device == "auto" else engine.device,
        )


class LazyEngine:
    """Opens the engine when the first row is really needed: a resumed step may need none.

    The running step owns it: a server that was started for it ends with the step, however the step ends; without a run,
    with the process.
    """

    def __init__(self, model: ModelHandle, config: EngineConfig) -> None:
        self.model = model
        self.config = config
        self._engine: Engine | None = None

    def open(self) -> Engine:
        """The engine; loading counts as start-up."""
        if self._engine is None:
            with startup():
                self._engine = self._opened(folder_of(self.model))
        return self._engine

    def _opened(self, folder: Path) -> Engine:
        if self.config.kind is EngineKind.TRANSFORMERS:
            return open_engine(self.config, folder)
        log_path = job_folder("server") / f"{re.sub(r'[^0-9A-Za-z]', '-', self.model.digest)}.log"
        resources = ExitStack()
        at_end(resources.close)
        return resources.enter_context(opened_engine(self.config, folder, self.model.placed, log_path))

    def count_tokens(self) -> None:
        """Add the engine's counters to the step's."""
        if self._engine is not None:
            counters = self._engine.counters.measured()
            counters["generation_s"] = counters.pop("seconds")
            del counters["rows"]
            count(**counters)
            count_rate("generated_tokens_per_s", "generated_tokens", "generation_s")
