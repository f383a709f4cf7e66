"""What all tests share: one thread, no slow-machine deadlines, and a log that no test leaves silenced."""

import logging
import os
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.s3_server import BUCKET, serve_s3

os.environ.setdefault("OMP_NUM_THREADS", "1")
for name in ("PREFECT_API_URL", "PREFECT_API_KEY", "ALMOST_HOME", "ALMOST_PLACEMENT"):
    os.environ.pop(name, None)  # a developer's server and store are not the tests'
sys.path.insert(0, str(Path(__file__).parents[1]))

settings.register_profile("shared_machine", deadline=None)
settings.load_profile("shared_machine")


@pytest.fixture(scope="session")
def s3_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Variables that lead S3 clients to a server of the session's own with the bucket `s3_server.BUCKET`."""
    with serve_s3(tmp_path_factory.mktemp("s3") / "server.log") as environment:
        yield environment


@pytest.fixture
def s3_home(s3_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> str:
    """URL of an empty home in the bucket, which this process can reach."""
    for name, value in s3_environment.items():
        monkeypatch.setenv(name, value)
    return f"s3://{BUCKET}/{uuid.uuid4().hex}"


@pytest.fixture(autouse=True)
def _almost_log() -> Iterator[None]:
    """The terminal takes over the project's log; the next test gets it back."""
    logger = logging.getLogger("almost")
    handlers, level, propagate = list(logger.handlers), logger.level, logger.propagate
    yield
    logger.handlers, logger.propagate = handlers, propagate
    logger.setLevel(level)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With several workers (-n), a file's tests stay together, and so do all flow tests: they share a warm store."""
    for item in items:
        folder = item.path.relative_to(Path(__file__).parent).parts[0]
        item.add_marker(pytest.mark.xdist_group(folder if folder == "flows" else str(item.path)))
