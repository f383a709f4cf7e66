"""Runs training jobs as forks of one process that has imported everything: a run costs what it computes, not its imports.

Each run is a fresh process per rank with a process group of its own, as under the launcher, which has tests of its own.
Nothing in the template touches a model, a process group or autograd, so that a fork starts as an import leaves it. What
a job imports on its way is imported here afterwards, for the next one.
"""

import gc
import importlib
import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data_contracts.config.training import TrainingSettings
from models.processes.job_entry import ERROR_MARK
from models.processes.job_protocol import PROGRESS_MARK

LIMIT_S = 120.0
_PRELOADED = (
    "deepspeed",
    "peft",
    "transformers.integrations.deepspeed",
    "transformers.models.llama.modeling_llama",
    "models.rl.loop",
    "models.jobs.finetune_policy",
    "models.jobs.likelihood_training",
    "models.jobs.optimize_policy",
    "models.jobs.pretrain",
    "models.jobs.train_reward_model",
    "trl.trainer.sft_trainer",
)


@dataclass(frozen=True)
class Outcome:
    """How a run ended: exit codes by rank (negative: the signal), progress events, and what it printed."""

    codes: list[int]
    events: list[dict[str, Any]] = field(default_factory=list)
    log: str = ""

    @property
    def error(self) -> dict[str, str]:
        """Class and message of the error that the job reported."""
        lines = [line for line in self.log.splitlines() if line.startswith(ERROR_MARK)]
        return json.loads(lines[0].removeprefix(ERROR_MARK)) if lines else {}


class ForkedJobs:
    """The test's side: a template process that forks on demand."""

    def __init__(self) -> None:
        environment = os.environ | {"DS_ACCELERATOR": "cpu", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True
        )

    def close(self) -> None:
        """End the template."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()

    def run(
        self, module: str, spec: Any, kill_at: int | None = None, may_fail: bool = False, room_mb: int | None = None
    ) -> Outcome:
        """Run `module` on `spec`, with all ranks killed when step `kill_at` is reported; an unasked failure raises.

        `room_mb` is what a rank may allocate beyond what the template holds.
        """
        spec.work_dir.mkdir(parents=True, exist_ok=True)
        spec.output_dir.mkdir(parents=True, exist_ok=True)
        path: Path = spec.work_dir / "spec.json"
        path.write_text(spec.model_dump_json())
        training: TrainingSettings = spec.training
        request = {
            "module": module,
            "spec": str(path),
            "processes": training.processes,
            "kill_at": kill_at,
            "room_mb": room_mb,
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        outcome = Outcome(**json.loads(self._process.stdout.readline()))
        if kill_at is None and not may_fail and any(outcome.codes):
            raise AssertionError(f"{module} ended with {outcome.codes}:\n{outcome.log[-8000:]}")
        return outcome


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _imported(request: dict[str, Any]) -> Path:
    """Where a job leaves the names of what it imported."""
    return Path(request["spec"]).with_name("imported.json")


def _import_for_the_next(request: dict[str, Any]) -> None:
    names: list[str] = json.loads(_imported(request).read_text()) if _imported(request).is_file() else []
    for name in names:
        with suppress(Exception):  # some can only be imported by others
            importlib.import_module(name)


def _rank(request: dict[str, Any], environment: dict[str, str], output: int) -> int:
    """Be one rank of a job, in a forked process; returns the exit code."""
    from models.processes.job_entry import run

    os.dup2(output, 1)
    os.dup2(output, 2)
    os.environ.update(environment)
    if request["room_mb"] is not None:
        held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (held + request["room_mb"] * 2**20,) * 2)
    sys.stdout = open(1, "w", buffering=1, closefd=False)  # noqa: SIM115  (the process ends before it could be closed)
    sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
    sys.argv = [request["module"], "--spec", request["spec"]]
    known = set(sys.modules)
    try:
        run(importlib.import_module(request["module"]).main)
        if environment.get("RANK", "0") == "0":
            _imported(request).write_text(json.dumps(sorted(sys.modules.keys() - known)))
    except SystemExit as error:
        return int(error.code or 0)
    except Exception:  # noqa: BLE001  (whatever it is belongs into the log)
        traceback.print_exc()
        return 1
    return 0


def _fork(request: dict[str, Any]) -> tuple[list[int], int]:
    """Fork all ranks; their process ids, and the pipe they print to."""
    read, write = os.pipe()
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port())}
    processes, pids = request["processes"], []
    for rank in range(processes):
        names = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(processes)} | place
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                os.close(read)
                code = _rank(request, names if processes > 1 else {}, write)
            finally:
                sys.stdout.flush()
                os._exit(code)
        pids.append(pid)
    os.close(write)
    return pids, read


def _kill(pids: Sequence[int]) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


class _Output:
    """What a job prints: lines of log, and progress events."""

    def __init__(self, pipe: int) -> None:
        self._pipe, self._rest = pipe, b""
        self.lines: list[str] = []
        self.events: list[dict[str, Any]] = []

    def read(self) -> bool:
        """Take in what is there, waiting for it; False at the end."""
        chunk = os.read(self._pipe, 1 << 16)
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for text in (line.decode(errors="replace") for line in lines):
            self.lines.append(text)
            if text.startswith(PROGRESS_MARK):
                self.events.append(json.loads(text.removeprefix(PROGRESS_MARK)))
        return bool(chunk)


def _serve_one(request: dict[str, Any]) -> Outcome:
    pids, pipe = _fork(request)
    output, codes, deadline = _Output(pipe), dict[int, int](), time.monotonic() + LIMIT_S
    while len(codes) < len(pids):
        if select.select([pipe], [], [], 0.02)[0] and not output.read():
            time.sleep(0.001)  # all ranks have closed their output and are about to end
        reached = request["kill_at"] is not None and output.events and output.events[-1]["done"] >= request["kill_at"]
        # A rank that is left alone would wait for ever.
        if reached or any(codes.values()) or time.monotonic() > deadline:
            _kill([pid for pid in pids if pid not in codes])
        for pid in pids:
            if pid not in codes:
                ended, status = os.waitpid(pid, os.WNOHANG)
                if ended:
                    codes[pid] = os.waitstatus_to_exitcode(status)
    while output.read():
        pass
    os.close(pipe)
    return Outcome([codes[pid] for pid in pids], output.events, "\n".join(output.lines))


def main() -> None:
    """Serve requests, one JSON object a line, until standard input ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever an import prints is not an answer
    for name in _PRELOADED:
        importlib.import_module(name)
    gc.freeze()
    for line in sys.stdin:
        request = json.loads(line)
        outcome = _serve_one(request)
        _import_for_the_next(request)
        answers.write(json.dumps(outcome.__dict__) + "\n")


if __name__ == "__main__":
    main()
