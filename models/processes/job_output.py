"""A job's output as it arrives: log lines to the file and the caller, marked lines to events."""

import json
import os
import select
import time
from collections import deque
from collections.abc import Callable
from typing import IO, Any, Protocol

from models.processes.job_entry import ERROR_MARK
from models.processes.job_protocol import PROGRESS_MARK

POLL_S = 0.2

ProgressCallback = Callable[[dict[str, Any]], None]
LogCallback = Callable[[str], None]


class JobProcess(Protocol):
    """What a launcher needs of a running job, as `subprocess.Popen` has it; `pid` leads the job's process group."""

    pid: int
    returncode: Any
    stdout: IO[bytes] | None

    def poll(self) -> int | None:
        """The exit code, None while the job runs."""
        ...

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end; raises subprocess.TimeoutExpired."""
        ...


class LineReader:
    """Copies the job's output to the log and turns its marked lines into events."""

    def __init__(
        self,
        process: JobProcess,
        log: IO[str],
        lines: deque[str],
        on_progress: ProgressCallback | None,
        say: LogCallback,
        on_tick: Callable[[], None] | None = None,
    ) -> None:
        self._process, self._log, self._lines = process, log, lines
        self._on_progress, self._say = on_progress, say
        self._on_tick = on_tick or (lambda: None)
        self._rest = b""
        self.problem: dict[str, Any] | None = None

    def follow(self, timeout_s: float) -> bool:
        """Read until the job ends (True) or time is up (False)."""
        assert self._process.stdout is not None
        pipe = self._process.stdout.fileno()
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            self._on_tick()
            # A short wait keeps this thread interruptible: cancellation arrives between two bytecodes.
            ended = self._process.poll() is not None
            ready, _, _ = select.select([pipe], [], [], 0 if ended else POLL_S)
            chunk = os.read(pipe, 1 << 16) if ready else b""
            if chunk:
                self._take(chunk)
            elif ended:
                self._take(b"\n" if self._rest else b"")
                return True
            elif ready:  # end of file before the end of the process
                time.sleep(POLL_S / 10)
        return False

    def _take(self, chunk: bytes) -> None:
        *complete, self._rest = (self._rest + chunk).split(b"\n")
        for raw in complete:
            self._line(raw.decode("utf-8", errors="replace").rstrip("\r"))
        self._log.flush()

    def _line(self, line: str) -> None:
        self._log.write(line + "\n")
        if line.startswith(PROGRESS_MARK):
            event = _event(line, PROGRESS_MARK)
            if event is not None and self._on_progress is not None:
                self._on_progress(event)
            return
        if line.startswith(ERROR_MARK):
            self.problem = self.problem or _event(line, ERROR_MARK)  # other ranks often fail of the first one's
            return
        self._lines.append(line)
        self._say(line)


def _event(line: str, mark: str) -> dict[str, Any] | None:
    try:
        event = json.loads(line.removeprefix(mark))
    except ValueError:
        return None
    return event if isinstance(event, dict) else None
