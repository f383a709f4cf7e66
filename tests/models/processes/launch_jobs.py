"""A job for the launcher's tests: it behaves as its spec says."""

import os
import signal
import subprocess
import sys
import time

from data_contracts.errors import ConfigError
from data_contracts.specs.job_spec import JobSpec
from models.processes.job_entry import run
from models.processes.job_protocol import read_spec, report_progress, write_manifest

JOB = "tests.models.processes.launch_jobs"


class BehaviourSpec(JobSpec):
    """`behaviour` names what the job does."""

    behaviour: str
    seconds: float = 60.0


def main() -> None:
    """Behave."""
    spec = read_spec(BehaviourSpec)
    print(f"secret seen: {'MY_SERVICE_API_KEY' in os.environ}")
    (spec.work_dir / "pid").write_text(str(os.getpid()))
    match spec.behaviour:
        case "finish":
            report_progress(1, 2, loss=0.5)
            print("a line of log")
            report_progress(2, 2, loss=0.25)
            (spec.output_dir / "product.txt").write_text("made")
            write_manifest(spec, JOB, {"product": "product.txt"}, {"loss": 0.25})
        case "no manifest":
            print("forgot it")
        case "config error":
            raise ConfigError("field x is 3, expected 4")
        case "crash":
            raise ValueError("broken inside")
        case "out of memory":
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 99 bytes")
        case "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "segfault":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "hang":
            report_progress(0, 1)
            time.sleep(spec.seconds)
        case "stubborn":  # ignores SIGTERM, and so does its child
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            child = subprocess.Popen([sys.executable, "-c", f"import time; time.sleep({spec.seconds})"])
            (spec.work_dir / "child").write_text(str(child.pid))
            report_progress(0, 1)
            time.sleep(spec.seconds)


if __name__ == "__main__":
    run(main)
