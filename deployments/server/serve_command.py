"""`almost serve`: Prefect server, work pools, two workers and the deployments, in one terminal.

Ctrl-C or SIGTERM ends all of it, running steps and their jobs included, and exits 0; interrupted runs are marked
Crashed, so that they hold no slot. A worker that dies is started again, and its runs go on meanwhile; when the server
dies, the rest is ended too and the exit code is 1. A guard process ends everything when this one is killed.
"""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from data_contracts.errors import AlmostError, ConfigError
from data_contracts.store.artifact_store import Store
from data_contracts.store.home import PROJECT_ROOT
from deployments.quiet_prefect import DEFAULTS
from deployments.server.ports import check_port
from deployments.server.processes import Child, end_all
from deployments.server.serve_guard import guarded
from deployments.server.serve_workers import WorkerPlan, plan_workers, visible_gpus

SERVER_START_S = 180.0
POLL_S = 0.3
FLOWS_GRACE_S = 12.0
SERVER_GRACE_S = 10.0
WORKER_POLL_S = "2"
RESTARTS, RESTARTS_WITHIN_S = 5, 120.0  # of workers; more often, and something is wrong with them


class Interrupted(BaseException):
    """SIGINT or SIGTERM arrived."""


class ChildDied(AlmostError):
    """Server or worker ended although nobody asked for it."""


def serve_all(home: str, host: str, port: int, gpus_per_job: int | None = None) -> int:
    """Run until interrupted; the exit code: 0 interrupted, 1 a process died.

    Raises:
        ConfigError: the port is in use, the host is not this machine's, the home cannot be used by workers, or the
            GPUs do not divide.
    """
    if home.startswith("memory://"):
        raise ConfigError("--home memory://...: lives in one process only; give workers a folder or a remote URL")
    logs = Store(home).scratch / "serve"
    logs.mkdir(parents=True, exist_ok=True)
    check_port(host, port)
    server = Service(home, host, port, logs, plan_workers(gpus_per_job, visible_gpus()))
    with guarded(server.mark), interruptible():
        try:
            server.start()
            server.announce()
            server.watch()
        except Interrupted:
            print("\nalmost: stopping workers, running steps and the server ...", flush=True)
            code = 0
        except (ChildDied, subprocess.CalledProcessError) as error:
            print(f"almost: {error}; stopping the rest", file=sys.stderr, flush=True)
            code = 1
        finally:
            _ignore_signals()
            server.stop()
    print("almost: everything is stopped", flush=True)
    return code


@contextmanager
def interruptible() -> Iterator[None]:
    """Inside, SIGINT and SIGTERM raise Interrupted."""

    def raise_interrupted(_signal: int, _frame: FrameType | None) -> None:
        raise Interrupted

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, raise_interrupted) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ignore_signals() -> None:
    """A second Ctrl-C must not leave half of the processes behind; stopping takes seconds."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


class Service:
    """Server, workers and deployments of one `almost serve`."""

    def __init__(self, home: str, host: str, port: int, logs: Path, plan: list[WorkerPlan]) -> None:
        reachable = "127.0.0.1" if host in ("0.0.0.0", "::", "") else host
        self.host, self.port, self.logs = host, port, logs
        self.url = f"http://{f'[{reachable}]' if ':' in reachable else reachable}:{port}"
        self.api = f"{self.url}/api"
        self.mark = uuid.uuid4().hex
        self.server: Child | None = None
        self.plan = plan
        self.workers: dict[WorkerPlan, Child] = {}
        self.environment = environment_of_children(home, self.api)

    def start(self) -> None:
        """Start everything in order; returns when a run can be started."""
        print("almost: starting the Prefect server (the first start sets its database up) ...", flush=True)
        self.server = self._child("server", ["server", "start", "--host", self.host, "--port", str(self.port)])
        self._wait_until(self._is_healthy, SERVER_START_S, "the server answers", self.server)
        os.environ["PREFECT_API_URL"] = self.api  # before this process imports Prefect
        from deployments.server.automations import create_automations
        from deployments.server.work_pools import create_pools, mark_dead_runs

        create_pools(sum(worker.limit or 0 for worker in self.plan))
        create_automations()
        mark_dead_runs()
        print("almost: deploying prefect.yaml ...", flush=True)
        self._deploy()
        self.workers = {planned: self._worker(planned) for planned in self.plan}

    def announce(self) -> None:
        """Say where things are, and how to start a run."""
        prefect = shlex.quote(os.path.relpath(_prefect()) if Path.cwd() == PROJECT_ROOT else _prefect())
        print(
            f"almost: ready; UI: {self.url}; logs: {self.logs}\n"
            f"start a run from another terminal (or in the UI):\n"
            f"  PREFECT_API_URL={self.api} {prefect} deployment run almost/full --watch\n"
            f'  ... --param profile=smoke --param \'overrides=["training.zero_stage=2", "training.processes=2"]\'\n'
            f"Ctrl-C stops everything.",
            flush=True,
        )

    def watch(self) -> None:
        """Wait until the server dies, or workers too often (ChildDied), or a signal comes (Interrupted)."""
        restarts: deque[float] = deque(maxlen=RESTARTS)
        while True:
            self._raise_if_dead([self.server])
            for planned, worker in self.workers.items():
                if worker.exit_code() is None:
                    continue
                if len(restarts) == RESTARTS and time.monotonic() - restarts[0] < RESTARTS_WITHIN_S:
                    self._raise_if_dead([worker])
                restarts.append(time.monotonic())
                print(f"almost: {worker.name} ended with exit code {worker.exit_code()}; starting it again", flush=True)
                worker.close()
                self.workers[planned] = self._worker(planned)
            time.sleep(POLL_S)

    def stop(self) -> None:
        """End workers with their runs, mark those runs, then end the server."""
        if self.workers:
            ended = end_all(list(self.workers.values()), FLOWS_GRACE_S)
            if self.server is not None and self.server.exit_code() is None:
                from deployments.server.work_pools import mark_dead_runs

                with suppress(Exception):  # nothing must keep the server from being ended
                    mark_dead_runs(ended)
        if self.server is not None:
            end_all([self.server], SERVER_GRACE_S)

    def _child(self, name: str, arguments: list[str], more: Mapping[str, str] | None = None) -> Child:
        command = [sys.executable, "-m", "prefect", "--no-prompt", *arguments]
        environment = self.environment | dict(more or {})
        return Child(name, command, self.logs / f"{name}.log", environment, self.mark, PROJECT_ROOT)

    def _worker(self, planned: WorkerPlan) -> Child:
        from deployments.server.work_pools import worker_name

        start = [*planned.arguments(), "--name", worker_name(planned.name, self.mark[:6])]
        return self._child(f"worker-{planned.name}", start, planned.environment())

    def _deploy(self) -> None:
        log = self.logs / "deploy.log"
        with log.open("wb") as sink:
            done = subprocess.run(
                [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"],
                cwd=PROJECT_ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                check=False,
            )
        if done.returncode:
            raise ChildDied(f"deploying prefect.yaml failed with exit code {done.returncode}; log: {log}")

    def _wait_until(self, holds: Callable[[], bool], seconds: float, what: str, child: Child) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            self._raise_if_dead([child])
            if time.monotonic() > deadline:
                raise ChildDied(f"waited {seconds:.0f} s until {what}; log: {child.log}")
            time.sleep(POLL_S)

    def _raise_if_dead(self, children: list[Child | None]) -> None:
        for child in children:
            code = child.exit_code() if child else None
            if child and code is not None:
                raise ChildDied(
                    f"{child.name} ended with exit code {code}; log: {child.log}; last lines:\n{child.last_lines()}"
                )

    def _is_healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.api}/health", timeout=5) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False


def environment_of_children(home: str, api: str) -> dict[str, str]:
    """This process's environment, with the API, the home and the project's root; logs of runs must reach the UI."""
    kept = {name: value for name, value in os.environ.items() if name != "PREFECT_LOGGING_LEVEL"}
    chosen = os.environ.get("PREFECT_LOGGING_LEVEL")
    level = chosen if chosen and chosen != DEFAULTS["PREFECT_LOGGING_LEVEL"] else "INFO"
    return {
        "PREFECT_WORKER_QUERY_SECONDS": WORKER_POLL_S,
        **kept,
        "PREFECT_LOGGING_LEVEL": level,
        "PREFECT_API_URL": api,
        "ALMOST_HOME": home,
        "PYTHONUNBUFFERED": "1",
    }


def _prefect() -> str:
    return shutil.which("prefect", path=str(Path(sys.executable).parent)) or "prefect"
