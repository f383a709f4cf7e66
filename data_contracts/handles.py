"""Handles to things outside the store, known by their content: models, prompt files, data files, benchmarks."""

from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from data_contracts.config.placement import ModelPlacement
from data_contracts.config.world import GoldJudgeSource


class ModelHandle(BaseModel):
    """A model to load: where it is on this machine, and the digest by which it counts in keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="As the profile names it: a Hub id, a folder, or tiny:NAME")
    digest: str = Field(description="Weight digest, or repository@commit for a Hub model")
    folder: str | None = Field(default=None, description="Local folder, for folders and Hub snapshots")
    artifact: str | None = Field(default=None, description="Checkpoint folder in the store, for models made here")
    placed: ModelPlacement = Field(default=ModelPlacement(), description="Where it is served, if it is")

    def key_identity(self) -> Any:
        """Only the weights count, not where they lie or what they are called."""
        return self.digest


# Who may judge pairs of answers: a language model, or the tiny world's judge.
JudgeHandle = ModelHandle | GoldJudgeSource


class PromptHandle(BaseModel):
    """A prompt file by content: two paths with equal text are the same prompt."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="faithful, hhh, user or seed_queries")
    digest: str
    text: str = Field(description="The file's whole text: prompts are small, and travel to workers with the call")
    source: str = Field(description="Path as the profile gave it, for messages")

    def key_identity(self) -> Any:
        """Only the text counts."""
        return self.digest

    @classmethod
    def read(cls, name: str, path: Path) -> "PromptHandle":
        """Read a prompt file."""
        text = path.read_text(encoding="utf-8")
        return cls(name=name, digest=sha256(text.encode()).hexdigest(), text=text, source=str(path))


class FileHandle(BaseModel):
    """An input file by content: benchmark or preference data. Workers read it at the same path."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    digest: str
    path: str

    def key_identity(self) -> Any:
        """Name and content; not the path."""
        return f"{self.name}:{self.digest}"


class BenchmarkHandle(BaseModel):
    """One benchmark, resolved before any work."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="As the catalogue of benchmarks has it, e.g. static_hhh")
    files: tuple[FileHandle, ...]
    template: PromptHandle
    shots: int = 0
    style: Literal["plain", "chat"] = "plain"
    items: int | None = None

    @property
    def title(self) -> str:
        """The benchmark's name in tables: with the number of shots, if there are any."""
        return f"{self.name}_{self.shots}shot" if self.shots else self.name


class EvaluationFile(BaseModel):
    """A file of an evaluation set; a set may have many."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    set_name: str = Field(description="The benchmark's name, or the file's")
    file: FileHandle
