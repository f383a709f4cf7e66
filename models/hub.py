"""Asking the Hugging Face Hub: what can go wrong on the way, and how large a model is before it is fetched."""

from functools import cache
from pathlib import Path

HUB_TIMEOUT_S = 10.0
# What makes a model folder, and all that is fetched of a repository: no pickled weights.
MODEL_FILES: tuple[str, ...] = (
    "*.safetensors",
    "config.json",
    "generation_config.json",
    "tokenizer*.json",
    "*.model",
    "*.jinja",
    "vocab.*",
    "merges.txt",
)


def hub_errors() -> tuple[type[Exception], ...]:
    """What a request to the Hub raises: its own errors, the network's, bad names, offline mode, a full disk."""
    from httpx2 import HTTPError
    from huggingface_hub.errors import HfHubHTTPError

    return HfHubHTTPError, HTTPError, OSError, ValueError, RuntimeError


def fetch_model(source: str, fetched_before: bool = False) -> Path:
    """Folder of a model `ID[@REVISION]`, named after its commit; with `fetched_before` nobody is asked for it.

    Raises:
        Exception: one of `hub_errors()`.
    """
    from huggingface_hub import snapshot_download

    name, _, revision = source.partition("@")
    patterns: list[str] = list(MODEL_FILES)
    folder = snapshot_download(
        name, revision=revision or None, allow_patterns=patterns, local_files_only=fetched_before
    )
    return Path(folder)


@cache
def cached_folder(source: str) -> Path | None:
    """Folder of a model that an earlier run fetched, or None."""
    try:
        return fetch_model(source, fetched_before=True)
    except hub_errors():
        return None


@cache
def hub_parameters(source: str) -> int | None:
    """Parameters of a model `ID[@REVISION]` as the Hub counts them in its safetensors; None where it cannot say."""
    from huggingface_hub import HfApi

    name, _, revision = source.partition("@")
    try:
        found = HfApi().model_info(name, revision=revision or None, timeout=HUB_TIMEOUT_S, expand=["safetensors"])
    except hub_errors():
        return None
    return found.safetensors.total if found.safetensors else None
