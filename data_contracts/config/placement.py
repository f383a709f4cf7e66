"""Where work runs: heavy steps in this process or on the GPU pool, served models on which devices.

Nothing here is a property of an experiment: no field enters a key.
"""

import os
from enum import StrEnum
from typing import Literal

from pydantic import Field, model_validator

from data_contracts.config.section import Section
from data_contracts.errors import ConfigError

ModelRole = Literal["small", "mid", "large", "reward", "policy"]


class Target(StrEnum):
    """Where a step runs."""

    INLINE = "inline"
    POOL = "pool"


def _target_of_environment() -> Target:
    chosen = os.environ.get("ALMOST_PLACEMENT") or Target.INLINE.value
    if chosen not in list(Target):
        raise ConfigError(f"ALMOST_PLACEMENT is {chosen!r}; it can be {' or '.join(Target)}")
    return Target(chosen)


class ModelPlacement(Section):
    """Where one model is served when a step starts a server for it, or where its server already runs."""

    gpus: tuple[int, ...] = Field(
        default=(),
        title="GPUs",
        description="Devices, counted among the visible ones (CUDA_VISIBLE_DEVICES); empty: what the step sees",
    )
    tensor_parallel: int | None = Field(
        default=None,
        ge=1,
        title="Tensor parallel",
        description="GPUs that hold one copy of the model; empty: all of `gpus`. The rest hold further copies",
    )
    base_url: str | None = Field(
        default=None, title="Server", description="This model's own server, in place of engine.base_url"
    )

    @model_validator(mode="after")
    def _devices_divide(self) -> "ModelPlacement":
        if len(set(self.gpus)) < len(self.gpus) or any(gpu < 0 for gpu in self.gpus):
            raise ValueError(f"gpus are {list(self.gpus)}; name each device once, counted from 0")
        if self.gpus and len(self.gpus) % self.copy_gpus:
            raise ValueError(f"tensor_parallel {self.tensor_parallel} does not divide {len(self.gpus)} GPUs")
        return self

    @property
    def copy_gpus(self) -> int:
        """GPUs that hold one copy of the model."""
        return self.tensor_parallel or len(self.gpus) or 1

    @property
    def copies(self) -> int:
        """Copies of the model that share the requests."""
        return max(len(self.gpus) // self.copy_gpus, 1)


class Placement(Section):
    """Where heavy steps run; `pool` dispatches to the step's own deployment on the GPU pool.

    Where a profile is silent, the environment decides (deployment `almost/full` sets ALMOST_PLACEMENT=pool for its
    runs).
    """

    heavy: Target = Field(
        default_factory=_target_of_environment,
        title="Heavy steps",
        description="inline or pool; empty: ALMOST_PLACEMENT, else inline",
    )
    dispatch_timeout_s: int = Field(
        default=600, ge=1, title="Pool wait", description="Seconds without a worker after which a run gives up"
    )
    approval: bool = Field(
        default=False,
        title="Approval",
        description="A run of almost/full shows its bill and waits for Resume before it spends: once before synthetic "
        "feedback, once before policy training",
    )
    models: dict[ModelRole, ModelPlacement] = Field(
        default_factory=dict,
        title="Served models",
        description="GPUs, tensor parallelism or address per model; read where engine.kind is vllm or openai",
    )
