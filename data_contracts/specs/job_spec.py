"""What crosses the boundary to a job process: a frozen spec file in, a manifest out.

A job gets `spec.json`, writes checkpoints under `work_dir` (it resumes from there) and products under `output_dir`,
and rank 0 writes `manifest.json` into `output_dir` last, so that its presence means completion.
"""

from hashlib import sha256
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

MANIFEST_NAME = "manifest.json"


class JobSpec(BaseModel):
    """Base of every job's spec. Paths are local: the caller materialises inputs and commits outputs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    output_dir: Path = Field(description="Products and the manifest go here")
    work_dir: Path = Field(description="Checkpoints and logs; a rerun with the same spec resumes from here")
    seed: int = Field(description="Seeds everything random in the job")

    def digest(self) -> str:
        """SHA-256 of the spec without its paths' location, so that a moved home still resumes."""
        return sha256(self.model_dump_json(exclude={"output_dir", "work_dir"}).encode()).hexdigest()


class JobManifest(BaseModel):
    """What a job produced: named outputs (paths relative to `output_dir`) and final metrics."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    job: str = Field(description="Module, e.g. models.jobs.train_reward_model")
    spec_digest: str
    outputs: dict[str, str] = Field(description="Name -> path relative to output_dir, e.g. model -> model")
    metrics: dict[str, float] = Field(default_factory=dict)
