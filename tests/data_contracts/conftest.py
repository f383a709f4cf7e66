"""Every test of the store runs on a local folder and on memory://."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from store_cases import Opener

from data_contracts.store import Store


@pytest.fixture(params=["folder", "memory"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "home") if request.param == "folder" else f"memory://home-{uuid.uuid4().hex}"


@pytest.fixture
def open_store(url: str, tmp_path: Path) -> Iterator["Opener"]:
    return Opener(url, tmp_path)  # type: ignore[return-value]


@pytest.fixture
def store(open_store: Opener) -> Store:
    return open_store()
