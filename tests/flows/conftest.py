"""One Prefect home for the session (its database takes seconds to set up), and one undisturbed run to compare with."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.flows.command import Command


@pytest.fixture(scope="session")
def almost(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    """The command line; what it leaves running is ended with the session."""
    command = Command(tmp_path_factory.mktemp("prefect"))
    yield command
    command.end_left_behind()


@pytest.fixture(scope="session")
def finished(almost: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of one undisturbed run of the mini profile; read it, copy it, do not write to it."""
    home = tmp_path_factory.mktemp("finished") / "home"
    done = almost.mini(home)
    assert done.returncode == 0, done.stdout
    assert "32 steps, 0 cached" in done.stdout
    return home


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Callable[[], Path]:
    """Makes a copy of the finished home that a test may change."""

    def copy() -> Path:
        return Path(shutil.copytree(finished, tmp_path / "home", symlinks=True))

    return copy
