"""What an evaluation was asked for: which benchmarks suit which model, and the tables they make."""

import json
from typing import Literal

from data_contracts.config.engine import EngineConfig
from data_contracts.config.evaluation import BenchmarkSettings
from data_contracts.errors import ConfigError
from data_contracts.handles import BenchmarkHandle, FileHandle, ModelHandle
from data_contracts.rows.rows import Rows
from data_contracts.tables.evaluations import EvaluatedItem
from models.evaluation.benchmarks.catalogue import BENCHMARKS, benchmark_named
from models.evaluation.benchmarks.preferences import PREFERENCES
from tasks.evaluation.evaluate_benchmark import evaluate_benchmark, reward_benchmark
from tasks.inputs.resolve_benchmarks import preference_files, resolve_benchmarks
from tasks.reward.score_preference_file import score_preference_file
from tasks.runtime.loaded_models import folder_of

FIELD = "--benchmarks"


def is_reward_model(model: ModelHandle) -> bool:
    """Whether the model's configuration names a head that classifies sequences."""
    config = json.loads((folder_of(model) / "config.json").read_text(encoding="utf-8"))
    return any(name.endswith("ForSequenceClassification") for name in config.get("architectures") or [])


class Asked:
    """The benchmarks of an evaluation, resolved once; those that do not suit a model are refused only if named."""

    def __init__(
        self,
        names: tuple[str, ...],
        data: str | None,
        items: int | None,
        shots: int,
        style: Literal["plain", "chat"],
        templates: str | None,
    ) -> None:
        self.names, self.data, self.items = names, data, items
        asked = [name for name in names if name != PREFERENCES.name]
        prompted = [benchmark_named(name, FIELD).name for name in asked] if names else list(BENCHMARKS)
        self.settings = BenchmarkSettings.model_validate(
            {"names": tuple(prompted), "folder": data, "items": items, "mmlu_shots": shots, "style": style}
            | {"templates": templates}
        )
        self.benchmarks: list[BenchmarkHandle] = resolve_benchmarks(self.settings)
        self._preferences: list[FileHandle] | None = None

    def tables(self, subject: str, model: ModelHandle, engine: EngineConfig) -> list[Rows[EvaluatedItem]]:
        """Every benchmark that was asked for and suits the model."""
        reward = is_reward_model(model)
        suits = [name for name, benchmark in BENCHMARKS.items() if benchmark.for_reward_models or not reward]
        known = [*suits, PREFERENCES.name] if reward else suits
        if self.names and not set(self.names) & set(known):
            raise ConfigError(
                f"{FIELD}: none of {', '.join(self.names)} suits {model.name}; those that do: {', '.join(known)}"
            )
        score = reward_benchmark if reward else evaluate_benchmark
        own = [benchmark for benchmark in self.benchmarks if benchmark.name in suits]
        return [score(subject=subject, model=model, benchmark=benchmark, engine=engine) for benchmark in own]

    def preferences(self, subject: str, model: ModelHandle, engine: EngineConfig) -> list[Rows[EvaluatedItem]]:
        """A reward model's scores of preference pairs, a table per file; none for other models."""
        wanted = not self.names or PREFERENCES.name in self.names
        if not wanted or not is_reward_model(model):
            return []
        return [
            score_preference_file(file=file, rows=self.items, subject=subject, model=model, engine=engine)
            for file in self._preference_files()
        ]

    def _preference_files(self) -> list[FileHandle]:
        if self._preferences is None:
            self._preferences = preference_files(self.data)
        return self._preferences
