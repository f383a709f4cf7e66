"""The life of a model server that a step needs: started on its GPUs, waited for, watched, and ended with the step.

The server runs in a process group of its own under `job_guard`: it ends with the `with` block however that ends, also
by SIGKILL of this process. What it prints goes to a log file, whose last lines are part of every error.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpx

from data_contracts.errors import ConfigError, EngineError, TransientEngineError
from models.engines.server_commands import visible_devices
from models.processes import job_guard
from models.processes.process_group import end_group

GUARD = Path(str(job_guard.__file__))
POLL_S, STOP_S = 0.25, 10.0
LAST_LINES = 20


@dataclass(frozen=True)
class ServedEngine:
    """A server that answers at `base_url`."""

    base_url: str
    log_path: Path
    process: subprocess.Popen[bytes]

    def require_alive(self) -> None:
        """Raise EngineError, with the end of its log, when the server has ended; transient if a signal ended it."""
        code = self.process.poll()
        if code is not None:
            kind = TransientEngineError if code < 0 or code > 128 else EngineError
            raise kind(f"the model server ended with code {code}; {_tail(self.log_path)}")


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextmanager
def serve_engine(
    command: Sequence[str],
    base_url: str,
    log_path: Path,
    gpus: Sequence[int] = (),
    health_path: str = "/health",
    start_timeout_s: float = 900,
) -> Iterator[ServedEngine]:
    """Run a server for the length of a `with` block.

    Args:
        command: the server's command line; it must listen where `base_url` says.
        gpus: the devices it may see, of those visible here; none named leaves the environment as it is.
        health_path: what answers 200 at that host and port once requests can be served; vLLM, SGLang, llama.cpp and
            transformers all have /health.

    Raises:
        ConfigError: something listens at that address already, the command does not exist, or a GPU is not visible.
        EngineError: the server ends before it answers.
        TransientEngineError: it does not answer within `start_timeout_s`.
    """
    _require_free(base_url)
    _require_program(command[0])
    environment = dict(os.environ)
    devices = visible_devices(gpus, environment.get("CUDA_VISIBLE_DEVICES"))
    if devices is not None:
        environment["CUDA_VISIBLE_DEVICES"] = devices
    watched, held = os.pipe()
    process: subprocess.Popen[bytes] | None = None
    try:
        with log_path.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(GUARD), str(watched), *command],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(watched,),
            )
        served = ServedEngine(base_url, log_path, process)
        _wait_until_healthy(served, urljoin(base_url, health_path), start_timeout_s)
        yield served
    finally:
        if process is not None:
            end_group(process, STOP_S)
        os.close(watched)
        os.close(held)


def _require_free(base_url: str) -> None:
    parts = urlsplit(base_url)
    if parts.hostname is None or parts.port is None:
        raise ConfigError(f"'{base_url}' names no host and port to serve at, e.g. http://127.0.0.1:8000/v1")
    with socket.socket() as probe:
        if probe.connect_ex((parts.hostname, parts.port)) == 0:
            raise ConfigError(f"something listens at {base_url} already; stop it or choose another port")


def _require_program(name: str) -> None:
    if shutil.which(name) is None:
        raise ConfigError(f"the server program {name} does not exist or cannot be run; see engine.server_executable")


def _wait_until_healthy(served: ServedEngine, url: str, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        served.require_alive()
        with suppress(httpx.TransportError):
            if httpx.get(url, timeout=5).status_code == 200:
                return
        time.sleep(POLL_S)
    raise TransientEngineError(
        f"the model server did not answer at {url} within {timeout_s:g} s; {_tail(served.log_path)}"
    )


def _tail(log_path: Path) -> str:
    lines = log_path.read_text(errors="replace").splitlines()[-LAST_LINES:]
    return f"log: {log_path}; last lines:\n" + "\n".join(lines)
