"""A temporary server is ended exactly when the run that started it is gone."""

import os
import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

from deployments.cli.orphans import LAUNCHER, SERVER, end_orphaned_servers


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LAUNCHER, "unset by the test")  # restored afterwards


@pytest.fixture
def start() -> Iterator[object]:
    started: list[subprocess.Popen[bytes]] = []

    def run(launcher: str, argument: str = f"{SERVER}:create_app") -> subprocess.Popen[bytes]:
        code = "import sys, time; sys.stdout.write('x'); sys.stdout.flush(); time.sleep(600)"
        process = subprocess.Popen(
            [sys.executable, "-c", code, argument], env=os.environ | {LAUNCHER: launcher}, stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        process.stdout.read(1)
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def mark(pid: int) -> str:
    return f"{pid}:{psutil.Process(pid).create_time():.2f}"


def test_server_of_a_dead_run_is_ended(start):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    launcher = mark(gone.pid)
    gone.wait()
    orphan, reused = start(launcher), start(f"{os.getpid()}:1.00")  # another process has the pid today
    assert end_orphaned_servers() == 2
    assert orphan.wait(10) < 0
    assert reused.wait(10) < 0


def test_others_are_left_alone(start):
    of_a_live_run, no_server = start(mark(os.getpid())), start("1234567:1.00", "something else")
    not_ours = start("not a mark")
    assert end_orphaned_servers() == 0
    assert [process.poll() for process in (of_a_live_run, no_server, not_ours)] == [None] * 3


def test_this_process_becomes_the_launcher():
    end_orphaned_servers()
    assert os.environ[LAUNCHER] == mark(os.getpid())
