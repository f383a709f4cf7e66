"""Text generation engines behind one protocol, and the way from a profile to an engine."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from data_contracts.config.engine import EngineConfig, EngineKind
from data_contracts.config.placement import ModelPlacement, ModelRole
from data_contracts.errors import ConfigError
from models.engines.protocol import Engine
from models.engines.serve_engine import free_port, serve_engine
from models.engines.server_commands import VLLM, server_command


@contextmanager
def opened_engine(config: EngineConfig, model_path: Path, placed: ModelPlacement, log_path: Path) -> Iterator[Engine]:
    """The engine that a profile names, on a local model folder, for the length of a `with` block.

    A server that the engine needs is started on the GPUs of `placed`, writes to `log_path`, and ends with the block.

    Raises:
        ConfigError: the folder is missing or incomplete, a setting is unknown, or the server's program is missing.
        EngineError: the server ends before it answers, or cannot do what the protocol needs.
    """
    port = free_port()
    command = server_command(config, model_path, placed, port)
    if command is None:
        yield open_engine(config.model_copy(update={"base_url": placed.base_url or config.base_url}), model_path)
        return
    from models.engines.openai_engine import OpenAIEngine

    base_url = f"http://127.0.0.1:{port}/v1"
    with serve_engine(command, base_url, log_path, placed.gpus, start_timeout_s=config.server_start_s) as served:
        yield OpenAIEngine(config.model_copy(update={"base_url": base_url}), model_path, served.require_alive)


def open_engine(config: EngineConfig, model_path: Path) -> Engine:
    """Open an engine that needs no server of its own, on a local model folder.

    Raises:
        ConfigError: the folder is missing or incomplete, a setting is unknown, or a server would have to be started.
    """
    match config.kind:
        case EngineKind.TRANSFORMERS:
            from models.engines.transformers_engine import TransformersEngine  # torch takes seconds to import

            return TransformersEngine(model_path, config.dtype, config.batch_size, config.threads, config.device)
        case EngineKind.OPENAI:
            from models.engines.openai_engine import OpenAIEngine

            return OpenAIEngine(config, model_path)
        case EngineKind.VLLM:
            raise ConfigError("engine.kind 'vllm' runs in a server: open it with opened_engine")


def check_engine(
    config: EngineConfig, models: Mapping[str, str], placed: Mapping[ModelRole, ModelPlacement], here: bool
) -> None:
    """Check what can be checked before a run begins.

    Args:
        models: role -> source of the models that generate.
        placed: role -> placement.
        here: whether servers would be started on this machine.

    Raises:
        ConfigError: a server is not named, named twice, cannot serve all models, or its program is missing.
    """
    if config.kind is EngineKind.TRANSFORMERS:
        return
    started = config.kind is EngineKind.VLLM or config.server_executable is not None
    addressed = set(models) if config.base_url else {role for role, place in placed.items() if place.base_url}
    if started and addressed:
        raise ConfigError(
            f"engine.kind '{config.kind}' starts servers of its own, but an address is set, too; remove "
            "engine.base_url and placement.models.*.base_url, or engine.server_executable"
        )
    if not started and (missing := sorted(set(models) - addressed)):
        raise ConfigError(
            f"engine.kind 'openai' needs engine.base_url, e.g. http://127.0.0.1:8000/v1, or engine.server_executable; "
            f"no address is set for {', '.join(missing)}"
        )
    if config.served_model and (started or len(set(models.values())) > 1):
        raise ConfigError(
            f"engine.served_model names one model for {', '.join(sorted(models))}; leave it empty and serve each under "
            "its folder's path"
        )
    program = config.server_executable or str(VLLM)
    if started and here and shutil.which(program) is None:
        hint = "; `make vllm` installs it" if config.server_executable is None else ""
        raise ConfigError(f"engine.server_executable: {program} does not exist or cannot be run{hint}")
