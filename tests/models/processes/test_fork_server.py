"""The fork server: a forked job is what a fresh process is, and nothing outlives whom it belongs to."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from data_contracts.config.training import TrainingSettings
from data_contracts.errors import JobError, TransientJobError
from data_contracts.store.home import PROJECT_ROOT
from models.processes import forked_job, launch
from models.processes.forked_job import may_fork
from models.processes.launch import run_job
from tests.models.processes.fork_jobs import JOB, LINES, SurroundingsSpec
from tests.models.processes.test_launch import await_end, await_file

SETTINGS = TrainingSettings(timeout_s=60)
pytestmark = pytest.mark.skipif(not may_fork(SETTINGS), reason="jobs are not forked on this machine")


@pytest.fixture(autouse=True)
def one_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves out what pytest writes into the environment for each test, so that one server serves them all."""
    own = launch.job_environment

    def without_test_name(training: TrainingSettings) -> dict[str, str]:
        return {name: value for name, value in own(training).items() if name != "PYTEST_CURRENT_TEST"}

    monkeypatch.setattr(launch, "job_environment", without_test_name)
    monkeypatch.setattr("models.processes.launch.GRACE_S", 0.5)


@pytest.fixture
def new_servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[forked_job._Servers]:
    """No server yet; the one that the test starts ends with it."""
    servers = forked_job._Servers()
    monkeypatch.setattr(forked_job, "_servers", servers)
    yield servers
    servers.close()


def spec_of(folder: Path, behaviour: str) -> SurroundingsSpec:
    return SurroundingsSpec(output_dir=folder / "out", work_dir=folder / "work", seed=1, behaviour=behaviour)


def server_pid() -> int:
    server = forked_job._servers.server
    assert server is not None, "no job was forked"
    return server.pid


def until_no_child(pid: int) -> None:
    """Wait until the server has given the numbers of ended jobs back."""
    deadline = time.monotonic() + 15
    while psutil.Process(pid).children():
        assert time.monotonic() < deadline, "an ended job is still a child of the server"
        time.sleep(0.05)


def look(folder: Path, settings: TrainingSettings = SETTINGS) -> dict[str, object]:
    run_job(JOB, spec_of(folder, "look"), settings)
    found = json.loads((folder / "out" / "found.json").read_text())
    found["argv"] = [argument.replace(str(folder), "") for argument in found["argv"]]
    return found


def test_a_forked_job_finds_what_a_fresh_process_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    settings = SETTINGS.model_copy(update={"threads_per_process": 2})
    forked = look(tmp_path / "forked", settings)
    assert os.getpgid(server_pid()) == server_pid()
    monkeypatch.setattr(launch, "may_fork", lambda training: False)
    assert forked == look(tmp_path / "fresh", settings)
    assert forked["torch_threads"] == 2
    assert forked["environment"]["OMP_NUM_THREADS"] == "2"  # type: ignore[index]


def test_jobs_share_a_server_but_no_random_numbers_and_no_threads(tmp_path: Path):
    first, second = look(tmp_path / "a"), look(tmp_path / "b", SETTINGS.model_copy(update={"threads_per_process": 2}))
    assert (first["torch_threads"], second["torch_threads"]) == (1, 2)
    drawn = [json.loads((tmp_path / name / "out" / "random.json").read_text()) for name in "ab"]
    assert all(one != other for one, other in zip(*drawn, strict=True))


def test_another_environment_or_folder_takes_the_ordinary_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    look(tmp_path / "first")
    monkeypatch.setenv("SOME_SETTING", "changed")
    assert look(tmp_path / "environment")["environment"]["SOME_SETTING"] == "changed"  # type: ignore[index]
    monkeypatch.delenv("SOME_SETTING")
    monkeypatch.chdir(tmp_path)
    assert look(tmp_path / "folder")["cwd"] == str(tmp_path)


@pytest.mark.parametrize("changed", [{"processes": 2}, {"zero_stage": 1}])
def test_several_processes_and_zero_are_not_forked(changed: dict[str, int]):
    assert not may_fork(SETTINGS.model_copy(update=changed))


def test_much_output_and_two_jobs_at_once(tmp_path: Path):
    events: dict[str, list[object]] = {"a": [], "b": []}
    threads = [
        threading.Thread(target=run_job, args=(JOB, spec_of(tmp_path / name, "print much"), SETTINGS, seen.append))
        for name, seen in events.items()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name, seen in events.items():
        assert len(seen) == LINES
        assert f"line {LINES - 1} x" in (tmp_path / name / "work" / "job.log").read_text()


def test_children_of_a_finished_job_end(tmp_path: Path):
    run_job(JOB, spec_of(tmp_path, "leave children"), SETTINGS)
    await_end(await_file(tmp_path / "work" / "child"))


def test_out_of_memory_names_the_phase(tmp_path: Path):
    with pytest.raises(JobError, match=r"out of memory while growing \(peak: host .* GiB"):
        run_job(JOB, spec_of(tmp_path, "run out of memory"), SETTINGS)


def test_timeout_and_cancel_end_the_job(tmp_path: Path):
    with pytest.raises(JobError, match="did not finish within 1 s"):
        run_job(JOB, spec_of(tmp_path / "late", "wait"), SETTINGS.model_copy(update={"timeout_s": 1}))

    def cancel(event: dict[str, object]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_job(JOB, spec_of(tmp_path / "cancelled", "wait"), SETTINGS, on_progress=cancel)
    for name in ("late", "cancelled"):
        pid = tmp_path / name / "work" / "pid"
        if pid.exists():
            await_end(int(pid.read_text()))
    until_no_child(server_pid())


def test_a_killed_job_may_be_tried_again(tmp_path: Path):
    with pytest.raises(TransientJobError, match="SIGKILL"):
        run_job(
            JOB,
            spec_of(tmp_path, "wait"),
            SETTINGS,
            on_progress=lambda event: os.kill(await_file(tmp_path / "work" / "pid"), signal.SIGKILL),
        )


def test_a_killed_server_keeps_its_job_and_is_told_of_once(tmp_path: Path, new_servers: forked_job._Servers):
    lines: list[str] = []

    def kill_server(event: dict[str, object]) -> None:
        if event["done"] == 0:
            os.kill(server_pid(), signal.SIGKILL)

    run_job(JOB, spec_of(tmp_path / "running", "print much"), SETTINGS, on_progress=kill_server)
    for name in ("next", "last"):
        run_job(JOB, spec_of(tmp_path / name, "look"), SETTINGS, on_log=lines.append)
    assert [line for line in lines if "fork server has ended" in line] == lines[:1]
    assert new_servers.failed


def test_a_server_that_cannot_start_says_why(
    tmp_path: Path, new_servers: forked_job._Servers, monkeypatch: pytest.MonkeyPatch
):
    own = subprocess.Popen
    monkeypatch.setattr(
        forked_job.subprocess,
        "Popen",
        lambda command, **how: own(
            [sys.executable, "-c", "raise SystemExit('no torch')"]
            if "models.processes.fork_server" in command
            else command,
            **how,
        ),
    )
    lines: list[str] = []
    run_job(JOB, spec_of(tmp_path, "look"), SETTINGS, on_log=lines.append)
    assert "the fork server has ended" in lines[0]


def test_sigkill_of_the_launcher_ends_server_and_job(tmp_path: Path):
    code = (
        "from pathlib import Path; from tests.models.processes.test_fork_server import *;"
        f"run_job(JOB, spec_of(Path({str(tmp_path)!r}), 'wait'), SETTINGS)"
    )
    environment = os.environ | {"PYTHONPATH": str(PROJECT_ROOT)}
    with subprocess.Popen([sys.executable, "-c", code], env=environment) as process:
        job = await_file(tmp_path / "work" / "pid")
        servers = [child.pid for child in psutil.Process(process.pid).children()]
        process.send_signal(signal.SIGKILL)
    assert len(servers) == 1
    started = time.monotonic()
    for pid in (job, *servers):
        await_end(pid)
    assert time.monotonic() - started < 10
