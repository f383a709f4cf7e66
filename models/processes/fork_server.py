"""The fork server: a process that has imported what training jobs need, and becomes a job by forking (ADR 0017).

`python -m models.processes.fork_server SOCKET PARENT` is started by `models/processes/forked_job.py`, which owns the other
end of SOCKET. The server computes nothing: it holds no model, no process group and no pool of threads, so that a fork
starts as an import leaves it. A forked job runs its module as `python -m` does, under a guard of its own
(`models/processes/job_guard.py`), which keeps the job when the server dies and ends it when the launcher dies.
"""

import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

THREADS = "OMP_NUM_THREADS"
# The only variables in which jobs of one server differ: how many threads, and one that torch writes into the launcher's
# environment on the way and reads when it compiles.
OWN_VARIABLES = (THREADS, "MKL_NUM_THREADS", "TORCHINDUCTOR_CACHE_DIR")
PARENT_CHECK_S = 1.0
MESSAGE_BYTES = 1 << 16
_GUARD = Path(__file__).with_name("job_guard.py")
# Modules that set switches of a library when they are imported (`models.training.trl_training`) are left to the job.
_FIRST = ("models.jobs.pretrain", "transformers.models.auto.tokenization_auto")
# Imported in the first idle second after a job was forked: pretraining, which comes first, need not hold them.
_THEN = (
    "models.jobs.train_reward_model",
    "models.jobs.combine_reward_models",
    "models.jobs.finetune_policy",
    "models.jobs.optimize_policy",
    "models.jobs.optimize_by_preferences",
    "models.jobs.likelihood_training",
    "models.rl.loop",
    "models.rl.players",
    "models.reward.reward_model",
    "transformers.models.llama.modeling_llama",
    "trl.trainer.sft_trainer",
    "trl.trainer.reward_trainer",
)
# Arrow's allocator has a thread that it stops before a fork itself.
_FORK_SAFE_THREADS = {"jemalloc_bg_thd"}


@dataclass(frozen=True)
class ForkedMain:
    """What a forked process is to run: a module with its arguments, and its own of `OWN_VARIABLES`."""

    module: str
    arguments: list[str]
    variables: dict[str, str]


def serve(control: socket.socket, parent: int) -> ForkedMain | None:
    """Fork a job for each request until the launcher is gone (None); in a forked process, return what it is to run.

    Raises:
        RuntimeError: an import has started a thread, which a fork would not have.
    """
    control.set_inheritable(False)
    _load(_FIRST)
    remaining, asked = _THEN, False
    while os.getppid() == parent:
        if not select.select([control], [], [], PARENT_CHECK_S)[0]:
            if asked and remaining:
                _load(remaining)
                remaining = ()
            continue
        message, descriptors, _, _ = socket.recv_fds(control, MESSAGE_BYTES, 3, socket.MSG_CMSG_CLOEXEC)
        if not message:
            return None
        request = json.loads(message)
        if "ended" in request:  # until now its number, a process group's, could not be given to another
            with suppress(ChildProcessError):
                os.waitpid(request["ended"], 0)
            continue
        asked, job = True, _fork(control, request, descriptors)
        if job is not None:
            return job
    return None


def _load(names: tuple[str, ...]) -> None:
    for name in names:
        importlib.import_module(name)
    _refuse_threads()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()  # what an import has printed is no job's
    gc.collect()
    gc.freeze()  # the collector leaves the shared pages alone


def _refuse_threads() -> None:
    names = {Path(f"/proc/self/task/{task}/comm").read_text().strip() for task in os.listdir("/proc/self/task")}
    own = Path("/proc/self/comm").read_text().strip()
    if names - _FORK_SAFE_THREADS - {own} or len(os.listdir("/proc/self/task")) > 1 + len(_FORK_SAFE_THREADS):
        raise RuntimeError(f"threads are running after the imports: {sorted(names)}")


def _fork(control: socket.socket, request: dict[str, Any], descriptors: list[int]) -> ForkedMain | None:
    """Fork guard and job; answers with the guard's number. None in the server; the guard never returns."""
    output, watched, status = descriptors
    guard = os.fork()
    if guard != 0:
        for descriptor in descriptors:
            os.close(descriptor)
        with suppress(OSError):  # the launcher is gone: the next turn of the loop finds out
            control.send(json.dumps({"id": request["id"], "group": guard}).encode())
        return None
    os.setsid()
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    job = os.fork()
    if job == 0:
        control.close()
        os.close(watched)
        os.close(status)
        return ForkedMain(request["module"], request["arguments"], request["variables"])
    try:
        for number in (signal.SIGTERM, signal.SIGINT):  # until the guard has handlers of its own
            signal.signal(number, signal.SIG_IGN)
        os.set_inheritable(watched, True)
        os.set_inheritable(status, True)
        shown = [sys.executable, "-m", request["module"], *request["arguments"]]  # for whoever lists processes
        start = ["-I", "-S", str(_GUARD), str(watched), "--forked", str(job), str(status)]
        os.execv(sys.executable, [sys.executable, *start, *shown])
    finally:
        os.killpg(0, signal.SIGKILL)  # no guard, no job
    return None


def run_forked(job: ForkedMain) -> None:
    """Run the job's module as `python -m` does, with what a fork must not share with its siblings set anew."""
    import numpy as np
    import torch

    for name in OWN_VARIABLES:
        os.environ.pop(name, None)
    os.environ.update(job.variables)
    torch.set_num_threads(int(job.variables[THREADS]))
    np.random.seed()  # from the system's entropy, as the global generators of a fresh process; `random` does so itself
    torch.default_generator.seed()
    sys.modules.pop(job.module, None)  # it becomes __main__
    sys.argv = [job.module, *job.arguments]
    runpy.run_module(job.module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    forked = serve(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]))
    if forked is not None:
        run_forked(forked)
