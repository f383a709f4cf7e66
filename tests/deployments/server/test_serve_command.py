"""`almost serve`: bad input before anything starts, the environment of its children, and ending them all."""

import signal
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path

import psutil
import pytest

from data_contracts.errors import ConfigError
from data_contracts.store.home import PROJECT_ROOT
from deployments.quiet_prefect import DEFAULTS
from deployments.server.ports import check_port
from deployments.server.processes import Child, end_all
from deployments.server.serve_command import Service, environment_of_children, serve_all


def wait_for(path: Path, limit_s: float = 20.0) -> str:
    deadline = time.monotonic() + limit_s
    while not (path.exists() and path.read_text().strip()):
        assert time.monotonic() < deadline, f"no {path}"
        time.sleep(0.02)
    return path.read_text()


def start_child(code: str, tmp_path: Path, name: str = "child") -> Child:
    return Child(name, [sys.executable, "-c", code], tmp_path / f"{name}.log", {}, uuid.uuid4().hex, tmp_path)


def test_port_in_use_is_the_users_error(tmp_path: Path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1:{port}: Address already in use; .*--port"):
            serve_all(str(tmp_path), "127.0.0.1", port)


@pytest.mark.parametrize(("host", "port"), [("127.0.0.1", 99999), ("198.51.100.1", 4200), ("no such host", 4200)])
def test_impossible_address_is_the_users_error(host: str, port: int):
    with pytest.raises(ConfigError, match="cannot listen on"):
        check_port(host, port)


def test_memory_home_is_refused():
    with pytest.raises(ConfigError, match="lives in one process only"):
        serve_all("memory://x", "127.0.0.1", 4200)


def test_bad_input_ends_with_code_2_and_one_line(tmp_path: Path):
    arguments = ["serve", "--home", "memory://x"]
    done = subprocess.run(
        [sys.executable, "-m", "deployments.cli.command_line", *arguments],
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("almost: --home memory://")


def test_children_log_to_the_ui_and_know_the_home(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PREFECT_LOGGING_LEVEL", DEFAULTS["PREFECT_LOGGING_LEVEL"])
    monkeypatch.setenv("PREFECT_API_URL", "https://elsewhere/api")
    environment = environment_of_children("/some/home", "http://127.0.0.1:4200/api")
    assert environment["PREFECT_LOGGING_LEVEL"] == "INFO"
    assert environment["PREFECT_API_URL"] == "http://127.0.0.1:4200/api"
    assert environment["ALMOST_HOME"] == "/some/home"


def test_a_log_level_the_user_chose_stays(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PREFECT_LOGGING_LEVEL", "DEBUG")
    assert environment_of_children("/h", "http://x/api")["PREFECT_LOGGING_LEVEL"] == "DEBUG"


@pytest.mark.parametrize(
    ("host", "url"), [("0.0.0.0", "http://127.0.0.1:9"), ("127.0.0.1", "http://127.0.0.1:9"), ("::1", "http://[::1]:9")]
)
def test_clients_get_an_address_they_can_reach(host: str, url: str, tmp_path: Path):
    assert Service("/h", host, 9, tmp_path, []).url == url


def test_end_all_reaches_a_grandchild_in_its_own_session_that_ignores_sigterm(tmp_path: Path):
    stubborn = f"import signal, time, os; signal.signal(signal.SIGTERM, signal.SIG_IGN); open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    parent = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {stubborn!r}], start_new_session=True); time.sleep(600)"
    child = start_child(parent, tmp_path)
    grandchild = int(wait_for(tmp_path / "pid"))
    assert {process.pid for process in child.family()} >= {grandchild}
    end_all([child], grace_s=0.5)
    assert child.exit_code() == -signal.SIGTERM
    assert not psutil.pid_exists(grandchild) or psutil.Process(grandchild).status() == psutil.STATUS_ZOMBIE


def test_end_all_reaches_an_orphan_of_a_dead_child(tmp_path: Path):
    sleeper = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    child = start_child(
        f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {sleeper!r}], start_new_session=True)",
        tmp_path,
    )
    orphan = int(wait_for(tmp_path / "pid"))
    end_all([child], grace_s=5)
    assert child.exit_code() == 0
    assert not psutil.pid_exists(orphan) or psutil.Process(orphan).status() == psutil.STATUS_ZOMBIE


def test_end_all_leaves_other_marks_alone(tmp_path: Path):
    one, other = (
        start_child("import time; time.sleep(600)", tmp_path, "one"),
        start_child("import time; time.sleep(600)", tmp_path, "two"),
    )
    end_all([one], grace_s=5)
    assert other.exit_code() is None
    end_all([other], grace_s=5)


def test_last_lines_of_a_log(tmp_path: Path):
    child = start_child("print('first'); print(); print('second')", tmp_path)
    end_all([child], grace_s=5) if child.exit_code() is not None else wait_for(child.log)
    end_all([child], grace_s=5)
    assert child.last_lines(1) == "second"
