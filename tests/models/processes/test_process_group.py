"""Ending a process group: its leader and whatever it started, whether it listens or not."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from data_contracts.store.process_mark import process_start
from models.processes.process_group import end_foreign_group, end_group

STARTS_A_CHILD = """
import pathlib, signal, subprocess, sys
if sys.argv[2] == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
pathlib.Path(sys.argv[1]).write_text(str(child.pid))
if sys.argv[2] != "ended":
    child.wait()
"""


def start(tmp_path: Path, behaviour: str) -> tuple[subprocess.Popen[bytes], int]:
    """A leader of a group of its own, and the process id of its child."""
    place = tmp_path / "child"
    leader = subprocess.Popen([sys.executable, "-c", STARTS_A_CHILD, str(place), behaviour], start_new_session=True)
    deadline = time.monotonic() + 20
    while not (place.exists() and place.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return leader, int(place.read_text())


def await_end(pid: int) -> None:
    """Wait until `pid` no longer runs."""
    deadline = time.monotonic() + 10
    while process_start(pid) is not None:
        assert time.monotonic() < deadline, f"process {pid} still runs"
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("behaviour", "code"), [("listening", -signal.SIGTERM), ("stubborn", -signal.SIGKILL), ("ended", 0)]
)
def test_nothing_of_a_group_survives(tmp_path: Path, behaviour: str, code: int) -> None:
    leader, child = start(tmp_path, behaviour)
    if behaviour == "ended":
        leader.wait(20)
        assert process_start(child) is not None, "its child goes on"
    end_group(leader, 0.5)
    assert leader.returncode == code
    await_end(child)
    end_group(leader, 0.5)  # once more does no harm


def test_the_group_of_a_stranger_ends(tmp_path: Path) -> None:
    """Its end is read from the process table, not from a child's exit status."""
    leader, child = start(tmp_path, "stubborn")
    end_foreign_group(leader.pid, 0.5)
    assert process_start(leader.pid) is None
    assert leader.wait(10) == -signal.SIGKILL
    await_end(child)
