"""Text generation engines behind one protocol (DESIGN section 5), and the way from a profile to an engine."""

from pathlib import Path

from data_contracts.errors import ConfigError
from data_contracts.sections import EngineConfig, EngineKind
from models.engines.protocol import Engine

NO_VLLM = (
    "engine.kind 'vllm' does not run inside this process: start `vllm serve` in its own environment and "
    "use engine.kind 'openai' with its address in engine.base_url"
)


def open_engine(config: EngineConfig, model_path: Path) -> Engine:
    """Open the engine that a profile names, on a local model folder.

    Raises:
        ConfigError: the kind is not available yet, the folder is missing or incomplete, or a setting is unknown.
    """
    match config.kind:
        case EngineKind.TRANSFORMERS:
            from models.engines.transformers_engine import TransformersEngine  # torch takes seconds to import

            return TransformersEngine(model_path, config.dtype, config.batch_size, config.threads, config.device)
        case EngineKind.OPENAI:
            from models.engines.openai_engine import OpenAIEngine

            return OpenAIEngine(config, model_path)
        case EngineKind.VLLM:
            raise ConfigError(NO_VLLM)


def check_engine(config: EngineConfig) -> None:
    """Raise ConfigError for a setting that no model could be opened with; asked before a run begins."""
    if config.kind is EngineKind.VLLM:
        raise ConfigError(NO_VLLM)
    if config.kind is EngineKind.OPENAI and not config.base_url:
        raise ConfigError("engine.kind 'openai' needs engine.base_url, e.g. http://127.0.0.1:8000/v1")
