"""`almost serve` as a process of its own, and the Prefect API it serves."""

import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.flows.command import MINI, Command, until

START_LIMIT_S, RUN_LIMIT_S, STOP_LIMIT_S = 180, 600, 60
READY = "Ctrl-C stops everything"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Patient(httpx.HTTPTransport):
    """Asks again when the server's database is busy, as Prefect's own client does."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        for pause_s in (0.5, 1, 2, 4, 8):
            answer = super().handle_request(request)
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                return answer
            answer.close()
            time.sleep(pause_s)
        return super().handle_request(request)


class Serving:
    """One home, one port; it can be started again after its end."""

    def __init__(self, almost: Command, home: Path, folder: Path) -> None:
        self.almost, self.home, self.folder = almost, home, folder
        self.port = free_port()
        self.starts = 0
        self.api = self._client()
        self.process: subprocess.Popen[bytes] | None = None

    def _client(self) -> httpx.Client:
        return httpx.Client(base_url=f"http://127.0.0.1:{self.port}/api", timeout=60, transport=Patient())

    @property
    def log(self) -> Path:
        return self.folder / f"serve-{self.starts}.log"

    def start(self) -> "Serving":
        """Start it in another folder than the project's, and wait until it is ready."""
        self.starts += 1
        arguments = ["serve", "--home", str(self.home), "--port", str(self.port)]
        process = self.process = self.almost.start(*arguments, log=self.log, cwd=self.folder)
        until(lambda: READY in self.log.read_text() or process.poll() is not None, START_LIMIT_S, "serve", 0.2)
        assert process.poll() is None, self.log.read_text()
        return self

    def end(self, number: signal.Signals = signal.SIGINT) -> int:
        """Send a signal; its exit code."""
        assert self.process is not None
        self.api.close()
        self.api = self._client()
        self.process.send_signal(number)
        return self.process.wait(STOP_LIMIT_S)

    def submit(self, **parameters: Any) -> str:
        """Ask for a run of almost/full on the mini profile; its id."""
        deployment = self.api.get("/deployments/name/almost/full").raise_for_status().json()
        body = {"parameters": {"profile": str(MINI)} | parameters, "state": {"type": "SCHEDULED"}}
        made = self.api.post(f"/deployments/{deployment['id']}/create_flow_run", json=body)
        return made.raise_for_status().json()["id"]

    def state(self, run: str) -> str:
        """The type of a run's state, e.g. COMPLETED."""
        return self.api.get(f"/flow_runs/{run}").raise_for_status().json()["state_type"]

    def ended(self, run: str) -> str:
        """Wait until a run is over; the type of its state."""
        final = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
        until(lambda: self.state(run) in final, RUN_LIMIT_S, f"run {run} to end", 0.5)
        return self.state(run)

    def children(self, flow: str) -> list[dict[str, Any]]:
        """Every run of a step's flow, the oldest first."""
        body = {"flows": {"name": {"any_": [flow]}}, "sort": "EXPECTED_START_TIME_ASC"}
        return self.api.post("/flow_runs/filter", json=body).raise_for_status().json()

    def graph(self, run: str) -> dict[str, set[str]]:
        """The run page's graph: each node's label with the labels of those that an edge leads from."""
        nodes = dict(self.api.get(f"/flow_runs/{run}/graph-v2").raise_for_status().json()["nodes"])
        return {node["label"]: {nodes[edge["id"]]["label"] for edge in node["parents"]} for node in nodes.values()}

    def markdown(self, run: str) -> dict[str, str]:
        """The Markdown artifacts of a run, by key."""
        body = {"artifacts": {"flow_run_id": {"any_": [run]}, "type": {"any_": ["markdown"]}}}
        found = self.api.post("/artifacts/filter", json=body).raise_for_status().json()
        return {artifact["key"]: artifact["data"] for artifact in found}

    def processes(self, *words: str) -> list[psutil.Process]:
        """Living processes of this home whose command line has all the words."""
        found = []
        for process in self.almost.left_behind():
            try:
                mine = process.environ().get("ALMOST_HOME") == str(self.home)
                if mine and all(word in " ".join(process.cmdline()) for word in words):
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def process_of(self, run: str) -> list[psutil.Process]:
        """The process that executes a flow run."""
        return [p for p in self.processes() if _environment(p).get("PREFECT__FLOW_RUN_ID") == run]

    def jobs(self, module: str) -> list[psutil.Process]:
        """The processes of a module's jobs: what their guards keep, started or forked (a fork shows another command)."""
        guards = [p for p in self.processes(module) if any("job_guard" in word for word in _words(p))]
        return [child for guard in guards for child in _children(guard)]


def kill(processes: list[psutil.Process]) -> None:
    """SIGKILL, as the kernel's memory killer would."""
    for process in processes:
        os.kill(process.pid, signal.SIGKILL)


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except psutil.Error:
        return {}


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.Error:
        return []
