"""Artifact[C]: a small frozen handle to a table or checkpoint in the store. Tables never travel through Prefect."""

from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

C = TypeVar("C")


class Artifact(BaseModel, Generic[C]):
    """Where an artifact lies and what its bytes are; `C` is its contract."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    contract: str = Field(title="Contract", description="name@version")
    path: str = Field(title="Folder in the store", description="Relative to ALMOST_HOME")
    digest: str = Field(title="Content digest", description="SHA-256 over the parts")
    rows: int = Field(title="Rows", description="0 for checkpoints and folders")

    def key_identity(self) -> Any:
        """What of this handle enters the key of a step that reads it: content, never the path."""
        return f"{self.contract}:{self.digest}"

    @property
    def key(self) -> str:
        """The key of the inputs this artifact was made from."""
        return self.path.rsplit("/", 1)[-1]
