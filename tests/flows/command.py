"""The real command line in processes of its own, as a person starts it, with a Prefect of the test session's own."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[2]
MINI = Path(__file__).with_name("mini.yaml")
RUN_LIMIT_S = 600
MARK = "ALMOST_TEST_MARK"


def until(holds: Callable[[], Any], limit_s: float, what: str, poll_s: float = 0.005) -> Any:
    """Poll until `holds()` is true and return its value; fails after `limit_s`."""
    deadline = time.monotonic() + limit_s
    while not (value := holds()):
        assert time.monotonic() < deadline, f"waited {limit_s:.0f} s for {what}"
        time.sleep(poll_s)
    return value


class Command:
    """`almost ...` with its own PREFECT_HOME; every process it leaves carries a mark."""

    def __init__(self, prefect_home: Path) -> None:
        dropped = ("ALMOST_", "PREFECT_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
        self.mark = str(prefect_home)
        self.environment = {
            **kept,
            "PREFECT_HOME": str(prefect_home),
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1",
            MARK: self.mark,
        }

    def run(
        self, *arguments: str, cwd: Path = ROOT, environment: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run to the end; output and errors together in `stdout`, white space as single blanks."""
        done = subprocess.run(
            [sys.executable, "-m", "deployments.cli.command_line", *arguments],
            cwd=cwd,
            env=self.environment | (environment or {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=RUN_LIMIT_S,
            check=False,
        )
        done.stdout = " ".join(done.stdout.split())
        return done

    def mini(self, home: Path | str, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run the mini profile on a home."""
        return self.run("run", "--profile", str(MINI), "--home", str(home), *arguments, **options)

    def start(
        self, *arguments: str, log: Path, cwd: Path = ROOT, environment: dict[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start and return at once; output goes to `log`."""
        with log.open("wb") as sink:
            return subprocess.Popen(
                [sys.executable, "-m", "deployments.cli.command_line", *arguments],
                cwd=cwd,
                env=self.environment | (environment or {}),
                stdout=sink,
                stderr=subprocess.STDOUT,
            )

    def left_behind(self) -> list[psutil.Process]:
        """Living processes that descend from this command's."""
        return [process for process in psutil.process_iter() if _mark_of(process) == self.mark]

    def end_left_behind(self) -> None:
        """SIGKILL whatever is left, e.g. the API server of a flow that was killed."""
        for process in self.left_behind():
            try:
                process.send_signal(signal.SIGKILL)
            except psutil.Error:
                continue


def _mark_of(process: psutil.Process) -> str | None:
    try:
        return process.environ().get(MARK)
    except (psutil.Error, OSError):
        return None


def manifests(home: Path) -> dict[str, dict[str, Any]]:
    """Every artifact's manifest, by its folder in the store."""
    found = home.glob("*@*/*/manifest.json")
    return {path.parent.relative_to(home).as_posix(): json.loads(path.read_text()) for path in found}


def digests(home: Path) -> dict[str, str]:
    """Content digest of every artifact, by its folder in the store."""
    return {folder: manifest["digest"] for folder, manifest in manifests(home).items()}


def outputs_of(home: Path, step: str) -> list[Path]:
    """Folders of a step's artifacts."""
    return [home / folder for folder, manifest in manifests(home).items() if manifest["provenance"]["step"] == step]


def summary_of(home: Path) -> dict[str, Any]:
    """summary.json of the newest run, finished or stopped by --until."""
    summaries = [path for path in (home / "runs").glob("*/summary.json") if path.parent.name != "latest"]
    return json.loads(max(summaries, key=lambda path: path.stat().st_mtime_ns).read_text())


def step_of(home: Path, label: str) -> dict[str, Any]:
    """One step of the newest run."""
    return next(step for step in summary_of(home)["steps"] if step["label"] == label)
