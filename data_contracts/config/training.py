"""Profile section `training`: how every training job is run: processes, ZeRO, precision, checkpoints."""

from enum import StrEnum
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from data_contracts.store.keys import NOT_IN_KEY


class ReportTo(StrEnum):
    """Who else is told of a training job's metrics while it runs."""

    NONE = "none"
    TENSORBOARD = "tensorboard"


class TrainingSettings(BaseModel):
    """How a training job is run; shared by every job that trains (profile section `training`)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    zero_stage: int = Field(default=0, ge=0, le=3, title="ZeRO stage", description="0 runs without DeepSpeed")
    processes: int = Field(default=1, ge=1, le=1024, title="Processes", description="Ranks, one per GPU")
    offload: bool = Field(default=False, title="CPU offload", description="ZeRO optimizer and parameter offload")
    threads_per_process: int = Field(default=1, ge=1, title="CPU threads per process", json_schema_extra=NOT_IN_KEY)
    bf16: bool = Field(default=False, title="bfloat16", description="Off on CPU; on for current GPUs")
    gradient_checkpointing: bool = Field(default=False, title="Gradient checkpointing", json_schema_extra=NOT_IN_KEY)
    lora_rank: int = Field(default=0, ge=0, title="LoRA rank", description="0 trains all weights")
    save_every: int = Field(default=50, ge=1, title="Steps between checkpoints", json_schema_extra=NOT_IN_KEY)
    keep_checkpoints: int = Field(default=1, ge=1, title="Checkpoints kept", json_schema_extra=NOT_IN_KEY)
    use_cpu: bool | None = Field(
        default=None,
        title="Force CPU",
        description="Empty: CPU only when there is no GPU",
        json_schema_extra=NOT_IN_KEY,
    )
    report_to: ReportTo = Field(
        default=ReportTo.NONE,
        title="Report to",
        description="tensorboard: metrics as event files under scratch/tensorboard of the home",
        json_schema_extra=NOT_IN_KEY,
    )
    timeout_s: int = Field(
        default=24 * 3600,
        ge=1,
        title="Time limit",
        description="Seconds; the job is then killed",
        json_schema_extra=NOT_IN_KEY,
    )

    @model_validator(mode="after")
    def _offload_has_shards(self) -> Self:
        if self.offload and self.zero_stage < 2:
            raise ValueError(
                f"offload needs zero_stage 2 or 3, found {self.zero_stage}; raise it, or leave offload out"
            )
        return self
