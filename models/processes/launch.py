"""Starts a job as a process of its own and brings its manifest back; knows nothing of Prefect.

The job gets a frozen `spec.json`; its output goes to `job.log`, its progress lines to a callback. Its process group ends
with this call, however the call ends: cancel, timeout, error, or a SIGKILL of this very process (see `job_guard`).
A work directory has one launcher at a time; the next one waits, ends an orphan, and takes a finished result as it is.
"""

import os
import re
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from data_contracts.config.training import TrainingSettings
from data_contracts.errors import ConfigError, JobError
from data_contracts.specs.job_spec import MANIFEST_NAME, JobManifest, JobSpec
from data_contracts.store.home import import_settings
from models.processes.forked_job import ForkedJob, fork_job, may_fork
from models.processes.job_errors import raise_for_exit
from models.processes.job_lock import GRACE_S, HeldLock, hold
from models.processes.job_output import JobProcess, LineReader, LogCallback, ProgressCallback
from models.processes.process_group import end_group

SPEC_NAME, LOG_NAME = "spec.json", "job.log"
LAST_LINES = 40
# Of a launcher around this process: the job's ranks are counted by its own launcher.
_RANK_NAMES = {"RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}
_SECRET = re.compile(r"^PREFECT_|(_KEY|_KEY_ID|_TOKEN|_SECRET|_PASSWORD)$", re.IGNORECASE)


def run_job(
    module: str,
    spec: JobSpec,
    training: TrainingSettings,
    on_progress: ProgressCallback | None = None,
    on_log: LogCallback | None = None,
    on_tick: Callable[[], None] | None = None,
) -> JobManifest:
    """Run `python -m module --spec spec.json` (or torchrun, with several processes) and return its manifest.

    `on_progress` gets each progress event (`done`, `total`, `unit`, `metrics`), `on_log` every other line;
    `on_tick` is called several times a second, and what it raises ends the job. A manifest of this very spec that is
    already in `spec.output_dir` is returned at once.

    Raises:
        ConfigError: `training` is not what a spec with settings of its own holds.
        ConfigError, ContractError, EmptyResultError, EngineError: the job says that its input is at fault.
        TransientJobError: it was killed from outside, or another process kept the work directory.
        JobError: anything else; the message carries module, exit code, log path and the last lines.
    """
    if getattr(spec, "training", training) != training:
        raise ConfigError(
            f"{module}: run_job was given other training settings than the spec holds; pass spec.training"
        )
    finished = _finished(module, spec)
    if finished is not None:
        return finished
    say = on_log or (lambda line: None)
    with hold(spec.work_dir, training.timeout_s, say) as lock:
        orphan = lock.end_orphan()
        if orphan is not None:
            say(f"{spec.work_dir}: ended the job (process group {orphan}) that a dead launcher had left behind")
        finished = _finished(module, spec)  # it may have been made while we waited
        if finished is not None:
            return finished
        _prepare(spec)
        log_path = spec.work_dir / LOG_NAME
        lines: deque[str] = deque(maxlen=LAST_LINES)
        code, problem = _run(module, spec, training, lock, log_path, lines, on_progress, say, on_tick)
    if code != 0:
        raise_for_exit(module, code, problem, log_path, lines)
    finished = _finished(module, spec)
    if finished is None:
        raise JobError(
            f"{module} ended with exit code 0 but left no {MANIFEST_NAME} of its spec in {spec.output_dir}; "
            f"log: {log_path}; last lines:\n" + "\n".join(lines)
        )
    return finished


def _finished(module: str, spec: JobSpec) -> JobManifest | None:
    path = spec.output_dir / MANIFEST_NAME
    try:
        manifest = JobManifest.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return manifest if manifest.job == module and manifest.spec_digest == spec.digest() else None


def _prepare(spec: JobSpec) -> None:
    spec.output_dir.mkdir(parents=True, exist_ok=True)
    (spec.output_dir / MANIFEST_NAME).unlink(missing_ok=True)  # of another spec, or damaged
    temporary = spec.work_dir / f".{SPEC_NAME}.tmp"
    temporary.write_text(spec.model_dump_json(indent=2))
    temporary.replace(spec.work_dir / SPEC_NAME)


def _command(module: str, spec: JobSpec, training: TrainingSettings) -> list[str]:
    if training.processes > 1:
        start = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(training.processes)]
    else:
        start = []
    return [sys.executable, *start, "-m", module, "--spec", str((spec.work_dir / SPEC_NAME).resolve())]


def job_environment(training: TrainingSettings) -> dict[str, str]:
    """The environment of a job: this process's without its secrets, plus threads, import root and no network."""
    kept = {name: value for name, value in os.environ.items() if not _SECRET.search(name) and name not in _RANK_NAMES}
    kept |= import_settings()
    threads = str(training.threads_per_process)
    return kept | {
        "PYTHONSAFEPATH": "1",  # nothing is imported from the caller's working directory
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONWARNINGS": "ignore::FutureWarning",  # of libraries to each other, once a step
        "HF_HUB_OFFLINE": "1",  # every input of a job is local
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "DO_NOT_TRACK": "1",
    }


def _start(
    module: str,
    spec: JobSpec,
    training: TrainingSettings,
    watched: int,
    say: LogCallback,
    on_tick: Callable[[], None] | None,
) -> JobProcess:
    """The job's guard with the job under it, from the fork server where that starts it alike."""
    environment, command = job_environment(training), _command(module, spec, training)
    if may_fork(training):
        _, _, _, *arguments = command  # python -m module
        forked = fork_job(module, arguments, environment, watched, say, on_tick or (lambda: None))
        if forked is not None:
            return forked
    guard = [sys.executable, "-I", "-S", str(Path(__file__).with_name("job_guard.py")), str(watched)]
    return subprocess.Popen(
        [*guard, *command],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        pass_fds=(watched,),
    )


def _run(
    module: str,
    spec: JobSpec,
    training: TrainingSettings,
    lock: HeldLock,
    log_path: Path,
    lines: deque[str],
    on_progress: ProgressCallback | None,
    say: LogCallback,
    on_tick: Callable[[], None] | None,
) -> tuple[int, dict[str, Any] | None]:
    """Run the job to its end; returns its exit code and the error event it printed, if any."""
    watched, held = os.pipe()
    process: JobProcess | None = None
    try:
        process = _start(module, spec, training, watched, say, on_tick)
        lock.record(process.pid)
        with log_path.open("a", encoding="utf-8") as log:
            reader = LineReader(process, log, lines, on_progress, say, on_tick)
            if not reader.follow(training.timeout_s):
                end_group(process, GRACE_S)
                raise JobError(
                    f"{module} did not finish within {training.timeout_s} s and was ended; it resumes from its last "
                    f"checkpoint with a larger training.timeout_s; log: {log_path}; last lines:\n" + "\n".join(lines)
                )
        return process.returncode, reader.problem
    finally:
        if process is not None:
            end_group(process, GRACE_S)
            if process.stdout is not None:
                process.stdout.close()
            if isinstance(process, ForkedJob):
                process.forget()
        os.close(watched)
        os.close(held)
