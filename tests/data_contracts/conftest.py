"""Every test of the store runs on a local folder, on memory://, and on s3:// with a server."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from data_contracts.store.artifact_store import Store
from tests.data_contracts.store.store_cases import Opener


@pytest.fixture(params=["folder", "memory", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    match request.param:
        case "folder":
            return str(tmp_path / "home")
        case "memory":
            return f"memory://home-{uuid.uuid4().hex}"
        case _:
            return request.getfixturevalue("s3_home")


@pytest.fixture
def open_store(url: str, tmp_path: Path) -> Iterator["Opener"]:
    return Opener(url, tmp_path)  # type: ignore[return-value]


@pytest.fixture
def store(open_store: Opener) -> Store:
    return open_store()
