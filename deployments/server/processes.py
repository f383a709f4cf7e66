"""Child processes of `almost serve`: started with a mark in their environment, and ended with all their descendants.

Prefect gives every flow run a session of its own and jobs have one too, so neither process groups nor parenthood reach
all of them; the mark is inherited by each, also by one whose parent was killed.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO

import psutil

MARK = "ALMOST_SERVE_MARK"
POLL_S = 0.2


class Child:
    """A named process whose output goes to a log file."""

    def __init__(
        self, name: str, command: list[str], log: Path, environment: Mapping[str, str], mark: str, cwd: Path
    ) -> None:
        self.name, self.log, self.mark = name, log, f"{mark}:{name}"
        self._sink: IO[bytes] = log.open("ab")
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=self._sink,
            stderr=subprocess.STDOUT,
            env={**environment, MARK: self.mark},
            cwd=cwd,
            start_new_session=True,  # the terminal's Ctrl-C reaches `almost serve` alone, which ends the others in order
        )

    def exit_code(self) -> int | None:
        """How it ended, None while it runs."""
        return self._process.poll()

    def family(self) -> list[psutil.Process]:
        """The process and all its living descendants, orphans included."""
        return [process for process in psutil.process_iter() if _mark_of(process) == self.mark]

    def last_lines(self, lines: int = 5) -> str:
        """The end of its log."""
        text = self.log.read_text(encoding="utf-8", errors="replace")
        return "\n".join([line for line in text.splitlines() if line.strip()][-lines:])

    def close(self) -> None:
        """Reap the process and close its log."""
        self._process.wait()
        self._sink.close()


def end_all(children: list[Child], grace_s: float) -> set[int]:
    """SIGTERM to the children and all their descendants, SIGKILL to what is left after `grace_s`; returns their pids."""
    ended = _end(lambda: _families(children), grace_s)
    for child in children:
        child.close()
    return ended


def end_marked(mark: str, grace_s: float) -> set[int]:
    """The same for every process of one `almost serve`, given its mark."""
    return _end(lambda: [p for p in psutil.process_iter() if (_mark_of(p) or "").startswith(f"{mark}:")], grace_s)


def _end(living: Callable[[], list[psutil.Process]], grace_s: float) -> set[int]:
    ended = set()
    for process in living():
        ended.add(process.pid)
        _signal(process, signal.SIGTERM)
    deadline = time.monotonic() + grace_s
    while living() and time.monotonic() < deadline:
        time.sleep(POLL_S)
    while left := living():
        for process in left:
            ended.add(process.pid)
            _signal(process, signal.SIGKILL)
        time.sleep(POLL_S)
    return ended


def _families(children: list[Child]) -> list[psutil.Process]:
    for child in children:
        child.exit_code()  # reaps: a zombie has no environment, but would be waited for by nobody
    return [process for child in children for process in child.family()]


def _mark_of(process: psutil.Process) -> str | None:
    try:
        return None if process.pid == os.getpid() else process.environ().get(MARK)
    except (psutil.Error, OSError):  # gone, a zombie, or somebody else's
        return None


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    with suppress(psutil.Error):
        process.send_signal(number)
