"""How long and how large is `make run PROFILE=smoke`, and the same run again with everything cached?

Both runs are whole processes with a fresh store and a fresh Prefect home. Memory is the largest sum of resident sizes of
the process and its children, so shared pages count once per process: an upper bound.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

SAMPLE_S = 0.2


def measure() -> dict[str, Any]:
    """Wall seconds, peak GiB, orchestration share; then wall seconds of the second run."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        environment = os.environ | {"PREFECT_HOME": str(Path(folder) / "prefect")}
        first_s, peak = _run(home, environment)
        first = json.loads((home / "runs/latest/summary.json").read_text())
        second_s, _ = _run(home, environment)
        second = json.loads((home / "runs/latest/summary.json").read_text())
    assert second["run_id"] != first["run_id"], "the second run left no summary"
    assert all(step["cached"] for step in second["steps"]), "the second run computed something"
    return {
        "wall_s": round(first_s, 1),
        "peak_gib": round(peak / 2**30, 2),
        "steps_s": round(first["wall_s"], 1),
        "process_startup_s": round(first["process_startup_s"], 1),
        "step_startup_s": round(first["startup_s"], 1),
        "orchestration_share": round(first["orchestration_s"] / first["wall_s"], 4),
        "second_wall_s": round(second_s, 1),
    }


def _run(home: Path, environment: dict[str, str]) -> tuple[float, int]:
    """Run the smoke profile; wall seconds and peak bytes of the process tree."""
    almost = Path(sys.executable).with_name("almost")
    started = time.monotonic()
    with tempfile.TemporaryFile() as output:
        process = psutil.Popen(
            [str(almost), "run", "--profile", "smoke", "--home", str(home)],
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        peak = 0
        while process.poll() is None:
            peak = max(peak, _tree_bytes(process))
            time.sleep(SAMPLE_S)
        if process.returncode != 0:
            output.seek(0)
            raise RuntimeError(f"almost run ended with {process.returncode}:\n{output.read().decode()[-4000:]}")
    return time.monotonic() - started, peak


def _tree_bytes(process: psutil.Process) -> int:
    total = 0
    for member in [process, *process.children(recursive=True)]:
        try:
            total += member.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total
