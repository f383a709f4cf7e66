"""One job per GPU of a machine: a second process that sees the same device waits until the first has ended."""

import subprocess
import sys
from pathlib import Path

import pytest

from tasks.runtime.gpu_slot import devices_of

ROOT = Path(__file__).resolve().parents[3]
HOLDER = """
import sys
from tasks.runtime import gpu_slot
gpu_slot.POLL_S = 0.01
with gpu_slot.gpu_slot():
    print("holds", flush=True)
    sys.stdin.read()
"""


def start(tmp_path: Path, devices: str, flow_run: str = "some-run") -> subprocess.Popen[str]:
    """A process that a worker seems to have started; it holds its devices until its input ends."""
    environment = {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path), "CUDA_VISIBLE_DEVICES": devices}
    environment |= {"PREFECT__FLOW_RUN_ID": flow_run, "PREFECT_HOME": str(tmp_path)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-c", HOLDER], env=environment, text=True, **pipes)


def said(stream: object) -> str:
    return stream.readline().strip()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("visible", "devices"), [(None, []), ("", []), ("1,0", ["0", "1"]), ("MIG-a, MIG-a", ["MIG-a"])]
)
def test_devices(visible: str | None, devices: list[str]):
    assert devices_of(visible) == devices


def test_the_second_on_a_device_waits_and_a_killed_holder_lets_go(tmp_path: Path):
    first = start(tmp_path, "0,1")
    assert said(first.stdout) == "holds"
    elsewhere, by_hand, second = start(tmp_path, "2"), start(tmp_path, "0", flow_run=""), start(tmp_path, "1,3")
    assert said(elsewhere.stdout) == said(by_hand.stdout) == "holds"
    assert said(second.stderr) == "GPU 1 is in use by another step on this machine; waiting for it"
    first.kill()
    assert said(second.stdout) == "holds"
    for process in (first, elsewhere, by_hand, second):
        process.communicate()
