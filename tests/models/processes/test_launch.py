"""The launcher: what a job's end means, and that nothing of a job survives its launcher."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from data_contracts.config.training import TrainingSettings
from data_contracts.errors import ConfigError, JobError, TransientJobError
from data_contracts.store import home
from data_contracts.store.home import PROJECT_ROOT
from data_contracts.store.process_mark import process_start
from models.processes.launch import _command, job_environment, run_job
from tests.models.processes.launch_jobs import JOB, BehaviourSpec

SETTINGS = TrainingSettings(timeout_s=60)


@pytest.fixture(autouse=True)
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stubborn processes get half a second before SIGKILL, not five."""
    monkeypatch.setattr("models.processes.launch.GRACE_S", 0.5)
    monkeypatch.setattr("models.processes.job_lock.GRACE_S", 0.5)


def spec_of(tmp_path: Path, behaviour: str, seconds: float = 60.0) -> BehaviourSpec:
    """A spec whose job behaves as named."""
    return BehaviourSpec(
        output_dir=tmp_path / "out", work_dir=tmp_path / "work", seed=1, behaviour=behaviour, seconds=seconds
    )


def await_file(path: Path) -> int:
    """The process id written to `path`, once it is there."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if path.exists() and path.read_text():
            return int(path.read_text())
        time.sleep(0.02)
    raise AssertionError(f"{path} did not appear")


def await_end(pid: int, patience_s: float = 15.0) -> None:
    """Wait until `pid` no longer runs."""
    deadline = time.monotonic() + patience_s
    while process_start(pid) is not None:
        assert time.monotonic() < deadline, f"process {pid} still runs"
        time.sleep(0.05)


def test_manifest_progress_log_and_reuse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_SERVICE_API_KEY", "hidden")
    spec, events, lines = spec_of(tmp_path, "finish"), [], []
    manifest = run_job(JOB, spec, SETTINGS, events.append, lines.append)
    assert manifest.outputs == {"product": "product.txt"}
    assert manifest.metrics == {"loss": 0.25}
    assert [(e["done"], e["total"], e["metrics"]["loss"]) for e in events] == [(1, 2, 0.5), (2, 2, 0.25)]
    assert lines == ["secret seen: False", "a line of log"]
    assert "a line of log" in (spec.work_dir / "job.log").read_text()
    assert BehaviourSpec.model_validate_json((spec.work_dir / "spec.json").read_bytes()) == spec
    before = (spec.work_dir / "job.log").stat().st_mtime_ns
    assert run_job(JOB, spec, SETTINGS) == manifest
    assert (spec.work_dir / "job.log").stat().st_mtime_ns == before, "the finished job ran again"
    changed = spec.model_copy(update={"seed": 2})
    assert run_job(JOB, changed, SETTINGS).spec_digest == changed.digest() != manifest.spec_digest


@pytest.mark.parametrize(
    ("behaviour", "error", "words"),
    [
        ("no manifest", JobError, ["exit code 0", "manifest.json", "forgot it"]),
        ("config error", ConfigError, ["field x is 3, expected 4", "job.log"]),
        ("crash", JobError, ["exit code 1", "ValueError: broken inside", "job.log"]),
        (
            "out of memory",
            JobError,
            ["out of memory while starting (peak: host", "micro_batch_size", "training.zero_stage"],
        ),
        ("killed", TransientJobError, ["SIGKILL"]),
        ("segfault", JobError, ["SIGSEGV"]),
    ],
)
def test_bad_ends_have_the_right_class(tmp_path: Path, behaviour: str, error: type, words: list[str]) -> None:
    with pytest.raises(error) as caught:
        run_job(JOB, spec_of(tmp_path, behaviour), SETTINGS)
    assert type(caught.value) is error
    for word in words:
        assert word in str(caught.value)
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_timeout_ends_job_and_stubborn_child(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"did not finish within 2 s.*timeout_s"):
        run_job(JOB, spec_of(tmp_path, "stubborn"), TrainingSettings(timeout_s=2))
    await_end(await_file(tmp_path / "work" / "pid"))
    await_end(await_file(tmp_path / "work" / "child"))


def test_an_exception_in_a_callback_ends_the_job(tmp_path: Path) -> None:
    def cancel(event: dict[str, object]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_job(JOB, spec_of(tmp_path, "hang"), SETTINGS, on_progress=cancel)
    await_end(await_file(tmp_path / "work" / "pid"))


def launcher(tmp_path: Path) -> subprocess.Popen[bytes]:
    """A process of its own that launches a hanging job."""
    code = (
        "from pathlib import Path; from tests.models.processes.test_launch import *;"
        f"run_job(JOB, spec_of(Path({str(tmp_path)!r}), 'stubborn'), SETTINGS)"
    )
    return subprocess.Popen([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(PROJECT_ROOT)})


def test_sigkill_of_the_launcher_leaves_no_orphan(tmp_path: Path) -> None:
    with launcher(tmp_path) as process:
        job, child = await_file(tmp_path / "work" / "pid"), await_file(tmp_path / "work" / "child")
        process.send_signal(signal.SIGKILL)
    await_end(job)
    await_end(child)


def test_a_successor_ends_an_orphan_whose_guard_is_stopped(tmp_path: Path) -> None:
    with launcher(tmp_path) as process:
        job = await_file(tmp_path / "work" / "pid")
        guard = os.getpgid(job)
        os.kill(guard, signal.SIGSTOP)  # the watchdog cannot act
        process.send_signal(signal.SIGKILL)
    assert process_start(job) is not None
    lines: list[str] = []
    run_job(JOB, spec_of(tmp_path, "finish"), SETTINGS, on_log=lines.append)
    await_end(job)
    assert any("dead launcher" in line for line in lines)


def test_two_launchers_of_one_work_directory_run_one_job(tmp_path: Path) -> None:
    first = spec_of(tmp_path, "hang", seconds=1.0)
    failures: list[JobError] = []

    def run_first() -> None:
        try:
            run_job(JOB, first, SETTINGS)
        except JobError as error:  # a hanging job leaves no manifest
            failures.append(error)

    thread = threading.Thread(target=run_first)
    thread.start()
    await_file(tmp_path / "work" / "pid")
    with pytest.raises(TransientJobError, match="another live process"):
        run_job(JOB, spec_of(tmp_path, "finish"), TrainingSettings(timeout_s=1))
    lines: list[str] = []
    run_job(JOB, spec_of(tmp_path, "finish"), SETTINGS, on_log=lines.append)
    thread.join()
    assert len(failures) == 1
    assert not any("dead launcher" in line for line in lines)


def test_settings_that_differ_from_the_specs_are_refused(tmp_path: Path) -> None:
    from tests.models.jobs.training_inputs import finetune_spec

    spec = finetune_spec(tmp_path, tmp_path)
    with pytest.raises(ConfigError, match=r"pass spec\.training"):
        run_job("models.jobs.finetune_policy", spec, TrainingSettings(processes=2))


def test_environment_and_command() -> None:
    environment = job_environment(TrainingSettings(threads_per_process=3))
    assert environment["OMP_NUM_THREADS"] == "3"
    assert environment["PYTHONPATH"] == str(PROJECT_ROOT)
    spec = spec_of(Path("/somewhere"), "finish")
    alone = _command(JOB, spec, TrainingSettings())
    assert alone[1:] == ["-m", JOB, "--spec", "/somewhere/work/spec.json"]
    several = _command(JOB, spec, TrainingSettings(processes=2))
    assert several[1:6] == ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]


def test_a_job_of_an_installed_package_imports_that_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(home, "PROJECT_ROOT", tmp_path)  # like site-packages, which has no pyproject.toml
    monkeypatch.setenv("PYTHONPATH", "/a/target")
    assert job_environment(TrainingSettings())["PYTHONPATH"] == "/a/target"
    monkeypatch.delenv("PYTHONPATH")
    assert "PYTHONPATH" not in job_environment(TrainingSettings())
