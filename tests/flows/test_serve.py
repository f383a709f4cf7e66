"""`almost serve` and a deployed run: heavy stages in the GPU pool's worker, the reward model by ZeRO-2 on two ranks."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from command import MINI, Command, stage_of, summary_of, until

pytestmark = pytest.mark.flow

START_LIMIT_S, RUN_LIMIT_S, STOP_LIMIT_S = 180, 600, 60


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def deployed_run(almost: Command, port: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`prefect deployment run almost/full --watch`, from another folder than the project's."""
    environment = almost.environment | {"PREFECT_API_URL": f"http://127.0.0.1:{port}/api"}
    return subprocess.run(
        [sys.executable, "-m", "prefect", "deployment", "run", "almost/full", "--watch", *arguments],
        cwd="/",
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=RUN_LIMIT_S,
        check=False,
    )


def alive_with_home(almost: Command, home: Path) -> list[str]:
    found = []
    for process in almost.left_behind():
        try:
            if process.environ().get("ALMOST_HOME") == str(home):
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found


def test_serve_and_deployed_run_with_zero_on_two_ranks(almost: Command, copied: Callable[[], Path], tmp_path: Path):
    home, port, log = copied(), free_port(), tmp_path / "serve.log"
    served = almost.start("serve", "--home", str(home), "--port", str(port), log=log, cwd=tmp_path)
    try:
        until(
            lambda: "Ctrl-C stops everything" in log.read_text() or served.poll() is not None,
            START_LIMIT_S,
            "almost serve to be ready",
            poll_s=0.2,
        )
        assert served.poll() is None, log.read_text()
        overrides = 'overrides=["training.zero_stage=2", "training.processes=2"]'
        done = deployed_run(
            almost, port, "--param", f"profile={MINI}", "--param", overrides, "--param", "stop_after=reward_model"
        )
        assert done.returncode == 0, done.stdout + log.read_text()
        assert summary_of(home)["config"]["placement"]["heavy"] == "pool"
        trained = stage_of(home, "train_reward_model")
        assert not trained["cached"]
        assert (trained["counters"]["job_zero_stage"], trained["counters"]["job_processes"]) == (2, 2)
        assert stage_of(home, "pretrain_model-large")["cached"]
    finally:
        served.send_signal(signal.SIGINT)
        code = served.wait(STOP_LIMIT_S)
    assert code == 0, log.read_text()
    assert alive_with_home(almost, home) == []


def test_serve_says_when_its_server_dies(almost: Command, tmp_path: Path):
    home, port, log = tmp_path / "home", free_port(), tmp_path / "serve.log"
    served = almost.start("serve", "--home", str(home), "--port", str(port), log=log, cwd=tmp_path)
    until(lambda: "deploying" in log.read_text(), START_LIMIT_S, "the server to answer", poll_s=0.1)
    for process in almost.left_behind():
        if process.environ().get("ALMOST_HOME") == str(home) and "server" in process.cmdline():
            os.kill(process.pid, signal.SIGKILL)
    assert served.wait(START_LIMIT_S) == 1
    assert "; stopping the rest" in log.read_text()
    assert alive_with_home(almost, home) == []
