"""The manifest of an artifact: written last, so that its presence means the artifact is complete.

It holds only what follows from the inputs and the bytes; times and costs go to a sidecar (`Cost`), so that manifests
of equal data are equal.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

MANIFEST_FILE = "manifest.json"
COST_FILE = "cost.json"


class Part(BaseModel):
    """One file of an artifact; `rows` is 0 for files that are not tables."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    sha256: str
    bytes: int
    rows: int


class Parent(BaseModel):
    """An input of the step that made the artifact."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    argument: str
    identity: str = Field(description="Contract and content digest, or a model's or file's digest")
    path: str | None = Field(default=None, description="The parent's folder in the store, when it is an artifact")


class Provenance(BaseModel):
    """How an artifact was made, as far as it follows from the inputs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: str
    step_version: str
    code: str = Field(description="Digest of the step's source")
    parents: tuple[Parent, ...] = ()
    config: dict[str, Any] = Field(default_factory=dict, description="The configuration the step read")
    versions: dict[str, str] = Field(default_factory=dict, description="Tool versions")


class Manifest(BaseModel):
    """What an artifact is, down to the hash of each part."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    contract: str
    schema_fingerprint: str
    key: str
    digest: str
    rows: int
    parts: tuple[Part, ...]
    provenance: Provenance


class Cost(BaseModel):
    """The sidecar: what making the artifact took. Seconds are wall-clock."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    started_at: str
    startup_s: float = Field(description="Process starts, imports and model loading")
    working_s: float = Field(description="Everything else inside the step")
    counters: dict[str, float] = Field(default_factory=dict, description="Tokens, attempts and the like")


def content_digest(contract: str, parts: Sequence[Part]) -> str:
    """SHA-256 over contract id, part names and part hashes."""
    text = "\n".join([contract, *(f"{part.name}:{part.sha256}" for part in parts)])
    return sha256(text.encode()).hexdigest()
