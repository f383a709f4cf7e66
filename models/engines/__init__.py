"""Text generation engines behind one protocol (DESIGN section 5), and the way from a profile to an engine."""

from pathlib import Path

from data_contracts.errors import ConfigError
from data_contracts.sections import EngineConfig, EngineKind
from models.engines.protocol import Engine


def open_engine(config: EngineConfig, model_path: Path) -> Engine:
    """Open the engine that a profile names, on a local model folder.

    Raises:
        ConfigError: the kind is not available yet, the folder is missing or incomplete, or a setting is unknown.
    """
    match config.kind:
        case EngineKind.TRANSFORMERS:
            from models.engines.transformers_engine import TransformersEngine  # torch takes seconds to import

            return TransformersEngine(model_path, config.dtype, config.batch_size, config.threads, config.device)
        case EngineKind.VLLM | EngineKind.OPENAI:
            raise ConfigError(f"engine.kind '{config.kind}' is not built yet; use 'transformers'")
