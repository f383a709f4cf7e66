"""kill -9 of the flow's process: the same command then finishes, redoes little, and makes the same bytes."""

import re
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from models.training.checkpoints import MARKER
from tests.flows.command import MINI, Command, digests, outputs_of, step_of, until

pytestmark = pytest.mark.flow

START_LIMIT_S, TRIES = 120, 5
SAVE_EVERY, SFT_STEPS, SHARDS = 2, 180, 12
LONGER = ("--set", "sft.epochs=30", "--until", "sft")  # else training ends before the kill is felt


def start_and_kill(
    almost: Command, home: Path, log: Path, reached: Callable[[], object], what: str, *arguments: str
) -> None:
    """Start the mini profile, and kill the flow's process, and nothing else, as soon as `reached()`."""
    process = almost.start("run", "--profile", str(MINI), "--home", str(home), *arguments, log=log)
    try:
        until(lambda: reached() or process.poll() is not None, START_LIMIT_S, what, poll_s=0.001)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert process.returncode == -signal.SIGKILL, f"it ended before {what}: {log.read_text()}"


def remove_outputs(home: Path, step: str) -> None:
    for folder in outputs_of(home, step):
        shutil.rmtree(folder)


def test_killed_while_sampling(almost: Command, copied: Callable[[], Path], tmp_path: Path):
    home = copied()
    before = digests(home)

    def receipts() -> list[Path]:
        return list(home.glob("responses@1/*/receipts/*.json"))

    for _ in range(TRIES):  # sampling takes less than a second: a kill may come too late
        remove_outputs(home, "sample_responses")
        start_and_kill(almost, home, tmp_path / "killed.log", receipts, "a stored shard")
        if not outputs_of(home, "sample_responses"):
            break
    else:
        pytest.fail(f"in {TRIES} tries, responder A had always finished before the kill")
    stored = len(receipts())
    assert 1 <= stored < SHARDS
    done = almost.mini(home)
    assert done.returncode == 0, done.stdout
    counters = step_of(home, "sample_responses-A")["counters"]
    assert (counters["shards_found"], counters["shards_computed"]) == (stored, SHARDS - stored)
    assert digests(home) == before
    until(lambda: not almost.left_behind(), 30, "the killed run's API server to end")


def test_killed_while_finetuning(almost: Command, copied: Callable[[], Path], tmp_path: Path):
    home = copied()
    remove_outputs(home, "finetune_policy")
    undisturbed = almost.mini(home, *LONGER)
    assert undisturbed.returncode == 0, undisturbed.stdout
    before = digests(home)
    remove_outputs(home, "finetune_policy")

    def complete() -> list[int]:
        markers = home.glob(f"scratch/jobs/*-finetune_policy/work/checkpoints-*/checkpoint-*/{MARKER}")
        return sorted(int(marker.parent.name.removeprefix("checkpoint-")) for marker in markers)

    start_and_kill(almost, home, tmp_path / "killed.log", complete, "a checkpoint", *LONGER)
    until(lambda: not job_processes(home), 30, "the job to end with its launcher")
    saved = complete()[-1]
    assert SAVE_EVERY <= saved < SFT_STEPS, "the kill came after training; raise sft.epochs of LONGER"
    [log] = home.glob("scratch/jobs/*-finetune_policy/work/job.log")
    reached = max(int(step) for step in re.findall(r'"done": ?(\d+)', log.read_text()))
    assert reached - saved <= SAVE_EVERY
    done = almost.mini(home, *LONGER)
    assert done.returncode == 0, done.stdout
    assert f"finetune_policy: {saved + 1}/{SFT_STEPS} steps" in done.stdout  # its first report
    assert digests(home) == before


def job_processes(home: Path) -> list[str]:
    shown = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return [line for line in shown.splitlines() if str(home / "scratch" / "jobs") in line]
