"""Model folders shared by the engine tests."""

import os
from pathlib import Path

import pytest

from tests.models.engines.model_folders import make_model, make_tokenizer, save_folder


@pytest.fixture(scope="session")
def llama_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama with grouped key-value heads."""
    model = make_model(num_key_value_heads=2)
    return save_folder(tmp_path_factory.mktemp("llama"), model, make_tokenizer())


@pytest.fixture(scope="session")
def stories_folder() -> Path:
    """Real pretrained weights: no padding token, end tokens [1, 2]."""
    folder = Path(os.environ.get("ALMOST_DATA", "../shared/data")) / "weights" / "stories260K"
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent; set ALMOST_DATA to the shared data folder")
    return folder
