"""Real weights for the engine tests, where they are at hand."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def stories_folder() -> Path:
    """Real pretrained weights: no padding token, end tokens [1, 2]."""
    folder = Path(os.environ.get("ALMOST_DATA", "../shared/data")) / "weights" / "stories260K"
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent; set ALMOST_DATA to the shared data folder")
    return folder
