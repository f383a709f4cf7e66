"""Opening a model folder, with errors a person can act on.

Three openings, one way to read weights: `load_model` for an engine (with tokenizer, end tokens and context length),
`load_causal` for scoring and reinforcement learning, `load_weights` for a trainer.
"""

import logging
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

from data_contracts.errors import ConfigError
from data_contracts.store.keys import file_digest
from models.lm.cascade_attention import CASCADE, supports_cascade

_log = logging.getLogger(__name__)
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
UNREADABLE = (OSError, ValueError, KeyError, RuntimeError, SafetensorError)  # what loading raises on broken files
DIGESTED = ("config.json", "generation_config.json", "tokenizer*", "*.safetensors", "vocab.json", "merges.txt")


@dataclass(frozen=True)
class LoadedModel:
    """A causal language model ready to run, on one device."""

    model: Any
    tokenizer: Any
    device: torch.device
    end_ids: tuple[int, ...]
    context_length: int
    cascade: bool


def load_model(path: Path, dtype: str, device: str) -> LoadedModel:
    """Load a model folder as transformers saves it; `device` is auto, cpu, or a torch device.

    Raises:
        ConfigError: the folder is missing or incomplete, or `dtype` or `device` is unknown.
    """
    if dtype not in DTYPES:
        raise ConfigError(f"engine.dtype is '{dtype}'; known: {', '.join(DTYPES)}")
    _require_files(path)
    placed = pick_device(device)
    _require_dtype(dtype, placed)
    transformers_logging.disable_progress_bar()
    try:
        config = AutoConfig.from_pretrained(path, local_files_only=True)
        tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
    except UNREADABLE as error:
        raise ConfigError(f"cannot load the model in {path}: {_first_line(error)}") from error
    cascade = supports_cascade(config)
    attention = CASCADE if cascade else None
    model, info = load_weights(path, dtype=DTYPES[dtype], attn_implementation=attention, output_loading_info=True)
    missing = sorted(info["missing_keys"])
    if missing:
        raise ConfigError(f"the model in {path} lacks {len(missing)} weights, e.g. {missing[:3]}; copy it again")
    if not cascade:
        _say_plain(config.model_type)
    model = model.to(placed).eval().requires_grad_(False)
    return LoadedModel(model, tokenizer, placed, _end_ids(model, tokenizer), _context_length(config), cascade)


def load_causal(path: Path, device: torch.device) -> Any:
    """A causal language model in float32 and evaluation mode, with dropout off also when it is trained.

    Reinforcement learning compares probabilities of the same tokens before and after an update, so none may be dropped.

    Raises:
        ConfigError: see `load_weights`.
    """
    model = load_weights(path)
    for module in model.modules():
        if hasattr(module, "attention_dropout"):
            module.attention_dropout = 0.0
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return model.to(device).eval()


def load_weights(path: Path, family: Any = AutoModelForCausalLM, **options: Any) -> Any:
    """The model of a folder as `family`, an auto class of transformers, builds it; float32 unless `dtype` is given.

    While ZeRO stage 3 is announced to transformers, the weights are split among the ranks as they are loaded.

    Raises:
        ConfigError: the folder has no config.json, or its weights are missing, pickled or broken.
    """
    if not (path / "config.json").is_file():
        raise ConfigError(f"{path} is not a model folder: it has no config.json; give a folder that transformers saved")
    settings = {"dtype": torch.float32, "use_safetensors": True, "local_files_only": True}
    try:
        return family.from_pretrained(path, **(settings | options))
    except torch.OutOfMemoryError:
        raise
    except UNREADABLE as error:
        raise ConfigError(f"cannot load the model in {path}: {_first_line(error)}") from error


def open_tokenizer(path: Path) -> tuple[Any, int]:
    """Tokenizer and context length of a model whose weights run elsewhere.

    Raises:
        ConfigError: the folder lacks the tokenizer or config.json, or they cannot be read.
    """
    _require_files(path, weights=False)
    try:
        config = AutoConfig.from_pretrained(path, local_files_only=True)
        return AutoTokenizer.from_pretrained(path, local_files_only=True), _context_length(config)
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(f"cannot read the tokenizer in {path}: {_first_line(error)}") from error


def pick_device(device: str) -> torch.device:
    """The torch device of a profile's `engine.device`; auto takes a GPU when there is one."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        picked = torch.device(device)
    except RuntimeError as error:
        raise ConfigError(f"engine.device is '{device}'; use auto, cpu or cuda") from error
    if picked.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"engine.device is '{device}', but torch sees no GPU; use cpu or auto")
    return picked


def _require_dtype(dtype: str, device: torch.device) -> None:
    if dtype == "bfloat16" and device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise ConfigError(f"engine.dtype is 'bfloat16', which {torch.cuda.get_device_name(device)} lacks; use float16")
    if dtype == "float16" and device.type == "cpu":
        raise ConfigError("engine.dtype is 'float16', which processors compute slowly or not at all; use float32")


@cache
def _say_plain(model_type: str) -> None:
    _log.warning(
        "models of type %s keep no shared prefix here: their attention has windows, caps or positions that cascade "
        "attention does not cover; every row reads its whole prompt",
        model_type,
    )


def weight_digest(path: Path) -> str:
    """SHA-256 over names and contents of a model folder's weights, configuration and tokenizer."""
    files = sorted({file for pattern in DIGESTED for file in path.glob(pattern) if file.is_file()})
    return sha256("\n".join(f"{file.name} {file_digest(file)}" for file in files).encode()).hexdigest()


def _require_files(path: Path, weights: bool = True) -> None:
    if not path.is_dir():
        raise ConfigError(f"model folder {path} does not exist; give a folder that transformers saved")
    if not (path / "config.json").is_file():
        raise ConfigError(f"model folder {path} has no config.json; give a folder that transformers saved")
    if weights and not list(path.glob("*.safetensors")):
        raise ConfigError(f"model folder {path} has no .safetensors weights; pickled weights are not read")
    if not any((path / name).is_file() for name in ("tokenizer.json", "tokenizer_config.json", "tokenizer.model")):
        raise ConfigError(f"model folder {path} has no tokenizer (tokenizer.json); copy it beside the weights")


def _end_ids(model: Any, tokenizer: Any) -> tuple[int, ...]:
    """Every token that ends a text: those of the generation configuration, and the tokenizer's own."""
    configured = model.generation_config.eos_token_id
    ids = configured if isinstance(configured, list) else [configured]
    return tuple(sorted({token for token in [*ids, tokenizer.eos_token_id] if token is not None}))


def _context_length(config: Any) -> int:
    text = config.get_text_config()
    for name in ("max_position_embeddings", "n_positions", "n_ctx", "seq_length", "max_seq_len"):
        if isinstance(getattr(text, name, None), int):
            return getattr(text, name)
    raise ConfigError(f"the configuration of a {config.model_type} model names no context length")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
