"""Command lines of the model servers that a step starts itself.

vLLM's switches are those of 0.33, read in its sources. Prefix caching, tensor and data parallelism, and the sampling
defaults (vLLM's own, not the model's generation configuration) are set, not left to defaults. Cascade attention was a
switch of earlier releases; 0.33 has removed it and warns when it is asked for, so nothing is passed for it.
"""

from collections.abc import Sequence
from pathlib import Path

from data_contracts.config.engine import EngineConfig, EngineKind
from data_contracts.config.placement import ModelPlacement
from data_contracts.errors import ConfigError
from data_contracts.store.home import PROJECT_ROOT, in_checkout

VLLM = PROJECT_ROOT / ".venv-vllm" / "bin" / "vllm"  # where `make vllm` puts it


def server_command(config: EngineConfig, model: Path, placed: ModelPlacement, port: int) -> list[str] | None:
    """The command that serves `model` on `port` of this machine; None when the profile names a running server."""
    if config.kind is EngineKind.VLLM:
        return vllm_command(config, model, placed, port)
    if config.server_executable is None:
        return None
    return [config.server_executable, *(_filled(word, model, port) for word in config.server_arguments)]


def vllm_command(config: EngineConfig, model: Path, placed: ModelPlacement, port: int) -> list[str]:
    """`vllm serve` of a local folder over the model's GPUs; `engine.server_arguments` come last and so prevail."""
    return [
        config.server_executable or (str(VLLM) if in_checkout() else "vllm"), "serve", str(model),
        "--host", "127.0.0.1", "--port", str(port),
        "--dtype", config.dtype,
        "--enable-prefix-caching", "--enable-prompt-tokens-details",
        "--tensor-parallel-size", str(placed.copy_gpus), "--data-parallel-size", str(placed.copies),
        "--generation-config", "vllm",
        *(_filled(word, model, port) for word in config.server_arguments),
    ]  # fmt: skip


def visible_devices(gpus: Sequence[int], already: str | None) -> str | None:
    """CUDA_VISIBLE_DEVICES of a server; `gpus` count among the devices that are `already` the only visible ones.

    Raises:
        ConfigError: fewer devices are visible than the placement counts on.
    """
    if not gpus:
        return already
    if already is None:
        return ",".join(map(str, gpus))
    visible = [device.strip() for device in already.split(",") if device.strip()]
    if max(gpus) >= len(visible):
        raise ConfigError(
            f"placement.models names GPU {max(gpus)}, but CUDA_VISIBLE_DEVICES shows {len(visible)} ({already!r}); "
            "count from 0 among these"
        )
    return ",".join(visible[gpu] for gpu in gpus)


def _filled(word: str, model: Path, port: int) -> str:
    return word.replace("{model}", str(model)).replace("{port}", str(port))  # other braces may be JSON
