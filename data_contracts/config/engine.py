"""Profile section `engine`: how text is generated, in this process or by a server."""

from enum import StrEnum
from typing import Literal

from pydantic import Field

from data_contracts.config.section import Section
from data_contracts.store.keys import NOT_IN_KEY, identity, section_fields


class EngineKind(StrEnum):
    """Which text generation engine is used."""

    TRANSFORMERS = "transformers"
    VLLM = "vllm"
    OPENAI = "openai"


class EngineConfig(Section):
    """The text generation engine."""

    kind: EngineKind = Field(default=EngineKind.TRANSFORMERS, title="Engine")
    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        default="float32", title="Number type", description="float32 on CPU, bfloat16 on GPU"
    )
    batch_size: int = Field(default=64, ge=1, title="Rows at once", json_schema_extra=NOT_IN_KEY)
    threads: int = Field(default=1, ge=1, title="CPU threads")
    device: str = Field(
        default="auto",
        pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$",
        title="Device",
        description="auto, cpu or cuda:N; beside a server it places the reward model",
        json_schema_extra=NOT_IN_KEY,
    )
    base_url: str | None = Field(
        default=None,
        title="Server",
        description="kind openai: address that /completions is under, e.g. http://127.0.0.1:8000/v1",
        json_schema_extra=NOT_IN_KEY,
    )
    served_model: str | None = Field(
        default=None,
        title="Served model",
        description="The model's name at the server; empty: its folder",
    )
    server_executable: str | None = Field(
        default=None,
        title="Server program",
        description="Started by each step that needs it; kind vllm: empty is .venv-vllm/bin/vllm of the checkout, or vllm on the PATH for an installed package",
        json_schema_extra=NOT_IN_KEY,
    )
    server_arguments: tuple[str, ...] = Field(
        default=(),
        title="Server arguments",
        description="kind vllm: added to the command line; kind openai: all of it, with {model}, {port} filled in",
    )
    server_start_s: float = Field(default=900, gt=0, title="Server start limit (s)", json_schema_extra=NOT_IN_KEY)
    api_key_env: str = Field(
        default="OPENAI_API_KEY",
        title="Key variable",
        description="Environment variable with the server's key; the key itself is never stored",
        json_schema_extra=NOT_IN_KEY,
    )
    concurrency: int | None = Field(
        default=None,
        ge=1,
        title="Requests at once",
        description="Empty: 256 with kind vllm, else 8",
        json_schema_extra=NOT_IN_KEY,
    )
    request_timeout_s: float = Field(default=600, gt=0, title="Request limit (s)", json_schema_extra=NOT_IN_KEY)
    request_retries: int = Field(default=6, ge=0, title="Retries per request", json_schema_extra=NOT_IN_KEY)
    failed_share: float = Field(
        default=0.02,
        ge=0,
        le=1,
        title="Failed rows allowed",
        description="Share of a shard that a server may fail; they are recorded. Above it the step fails",
        json_schema_extra=NOT_IN_KEY,
    )

    def key_identity(self) -> dict[str, object]:
        """What enters keys; the arguments of a server only where one is started."""
        fields = {name: getattr(self, name) for name in section_fields(type(self))}
        if self.kind is EngineKind.TRANSFORMERS:
            del fields["server_arguments"]
        return {name: identity(value) for name, value in fields.items()}
