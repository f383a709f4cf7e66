"""The launcher's side of the fork server: which jobs it may start, and a forked job as a process to follow (ADR 0017).

One server per launching process, started by its first job. It serves jobs of one process on the CPU whose environment
is the one that it was started in; a launcher that cannot have a job forked starts it the ordinary way.
"""

import atexit
import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from data_contracts.config.training import TrainingSettings
from models.processes.fork_server import MESSAGE_BYTES, OWN_VARIABLES, THREADS
from models.processes.job_output import POLL_S

ANSWER_LIMIT_S = 120.0  # the imports, on a busy machine
_THREAD_COUNTS = (THREADS, "MKL_NUM_THREADS")
_GPU_DEVICES = ("nvidia[0-9]*", "nvidiactl", "kfd", "dxg")


def may_fork(training: TrainingSettings) -> bool:
    """Whether a job with these settings starts alike in a fork: one process, no ZeRO, Linux, a machine without GPUs."""
    return (
        sys.platform == "linux"
        and training.processes == 1
        and training.zero_stage == 0
        and not any(any(Path("/dev").glob(name)) for name in _GPU_DEVICES)
    )


class ForkedJob:
    """A forked job's guard, with the part of `subprocess.Popen` that a launcher uses."""

    def __init__(self, server: "ForkServer", group: int, output: int, status: int) -> None:
        self._server, self._status = server, status
        self.pid = group
        self.returncode: int | None = None
        self.stdout: IO[bytes] | None = open(output, "rb")  # noqa: SIM115  (the launcher closes it)

    def poll(self) -> int | None:
        """The exit code as the guard gives it (128 + signal), -9 of a killed guard, None while the job runs."""
        if self.returncode is None and select.select([self._status], [], [], 0)[0]:
            said = os.read(self._status, 64)
            self.returncode = int(said) if said else -signal.SIGKILL
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end; raises subprocess.TimeoutExpired."""
        if self.returncode is None:
            select.select([self._status], [], [], timeout)
        code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired(f"job {self.pid}", timeout or 0.0)
        return code

    def forget(self) -> None:
        """Let the system use the job's number again; called once nothing of the job's group is left."""
        os.close(self._status)
        self._server.forget(self.pid)


class ForkServer:
    """A fork server and the talk with it."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.owner, self.conditions = os.getpid(), conditions(environment)
        self._asked = 0
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  (it lives as long as the server)
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "models.processes.fork_server", str(theirs.fileno()), str(os.getpid())],
                env=environment | dict.fromkeys(_THREAD_COUNTS, "1"),
                stdin=subprocess.DEVNULL,
                stdout=self._said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(theirs.fileno(),),
            )

    @property
    def pid(self) -> int:
        """The server's process."""
        return self._process.pid

    def fork(self, request: dict[str, Any], watched: int, on_wait: Callable[[], None]) -> ForkedJob:
        """Have a job forked whose guard ends it at end-of-file on `watched`; what `on_wait` raises ends the waiting.

        Raises:
            OSError: the server is gone, or did not answer within `ANSWER_LIMIT_S`.
        """
        self._asked += 1
        number = self._asked
        output, their_output = os.pipe()
        status, their_status = os.pipe()
        try:
            try:
                message = json.dumps(request | {"id": number}).encode()
                socket.send_fds(self._control, [message], [their_output, watched, their_status])
            finally:
                os.close(their_output)
                os.close(their_status)
            return ForkedJob(self, self._answer(number, on_wait), output, status)
        except BaseException:
            os.close(output)
            os.close(status)
            raise

    def _answer(self, number: int, on_wait: Callable[[], None]) -> int:
        deadline = time.monotonic() + ANSWER_LIMIT_S
        while time.monotonic() < deadline:
            on_wait()
            if not select.select([self._control], [], [], POLL_S)[0]:
                continue
            message = self._control.recv(MESSAGE_BYTES)
            if not message:
                raise ConnectionError(self._last_words())
            answer = json.loads(message)
            if answer["id"] == number:
                return answer["group"]
            self.forget(answer["group"])  # nobody waits for it any longer, and its guard has ended it
        raise TimeoutError(f"no answer within {ANSWER_LIMIT_S:.0f} s")

    def forget(self, group: int) -> None:
        """Tell the server that nothing of a job is left."""
        with suppress(OSError):
            self._control.send(json.dumps({"ended": group}).encode())

    def _last_words(self) -> str:
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").splitlines()
        return lines[-1] if lines else "it left no message"

    def close(self) -> None:
        """End the server; jobs that it forked go on."""
        self._control.close()
        self._process.kill()
        self._process.wait()
        self._said.close()


def conditions(environment: dict[str, str]) -> tuple[Any, ...]:
    """Everything that a process inherits from this one but `OWN_VARIABLES`: a fork has it from the server's start."""
    status = Path("/proc/self/status").read_text().splitlines()
    return (
        sorted((name, value) for name, value in environment.items() if name not in OWN_VARIABLES),
        os.getcwd(),
        [line for line in status if line.startswith(("Umask:", "SigIgn:", "Cpus_allowed:"))],
        [resource.getrlimit(getattr(resource, name)) for name in dir(resource) if name.startswith("RLIMIT_")],
        os.getpriority(os.PRIO_PROCESS, 0),
    )


class _Servers:
    """This process's server, if it has one, and whether one has failed."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.server: ForkServer | None = None
        self.failed = False

    def usable(self, environment: dict[str, str]) -> ForkServer | None:
        """The server if it is this process's and its conditions hold; the first call starts it."""
        if self.server is None:
            self.server = ForkServer(environment)
            atexit.register(self.close)
        same = self.server.owner == os.getpid() and self.server.conditions == conditions(environment)
        return self.server if same else None

    def close(self) -> None:
        """End the server of this process."""
        if self.server is not None and self.server.owner == os.getpid():
            self.server.close()
        self.server = None


_servers = _Servers()


def fork_job(
    module: str,
    arguments: Sequence[str],
    environment: dict[str, str],
    watched: int,
    say: Callable[[str], None],
    on_wait: Callable[[], None],
) -> ForkedJob | None:
    """Have the fork server run `module`; None when it cannot, and the job is to be started the ordinary way.

    A server that has failed is not started again; `say` is told once.
    """
    while not _servers.lock.acquire(timeout=POLL_S):
        on_wait()
    try:
        if _servers.failed:
            return None
        try:
            server = _servers.usable(environment)
            if server is None:
                return None
            variables = {name: environment[name] for name in OWN_VARIABLES if name in environment}
            request = {"module": module, "arguments": [*arguments], "variables": variables}
            return server.fork(request, watched, on_wait)
        except OSError as error:
            _servers.failed = True
            _servers.close()
            say(f"the fork server has ended ({error}); jobs start without it from now on")
            return None
    finally:
        _servers.lock.release()
