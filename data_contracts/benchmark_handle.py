"""A benchmark as a step reads it: its files and its prompt by content, and how it is asked."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from data_contracts.model_handle import FileHandle, PromptHandle


class BenchmarkHandle(BaseModel):
    """One benchmark, resolved before any work."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="static_hhh, truthfulqa_mc1, mmlu, lambada")
    files: tuple[FileHandle, ...]
    template: PromptHandle
    shots: int = 0
    style: Literal["plain", "chat"] = "plain"
    items: int | None = None

    @property
    def title(self) -> str:
        """The benchmark's name in tables: with the number of shots, if there are any."""
        return f"{self.name}_{self.shots}shot" if self.shots else self.name
