"""A job for the fork server's tests: it writes down what it finds itself in, prints much, or leaves children."""

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from data_contracts.specs.job_spec import JobSpec
from models.processes.job_entry import enter_phase, run
from models.processes.job_protocol import read_spec, report_progress, write_manifest

JOB = "tests.models.processes.fork_jobs"
LINES = 20_000


class SurroundingsSpec(JobSpec):
    """`behaviour` names what the job does."""

    behaviour: str


def surroundings() -> dict[str, Any]:
    """What a process has from its start."""
    handlers = {number.name: str(signal.getsignal(number)).split(" at ")[0] for number in signal.Signals}
    status = Path("/proc/self/status").read_text().splitlines()
    return {
        "argv": sys.argv,
        "path": sys.path,
        "flags": str(sys.flags),
        "main": sys.modules["__main__"].__name__,
        "imported_as_module": JOB in sys.modules,
        "environment": {name: value for name, value in sorted(os.environ.items()) if name != "_"},
        "cwd": os.getcwd(),
        "status": [line for line in status if line.startswith(("Umask", "SigIgn", "SigBlk", "Cpus_allowed"))],
        "handlers": handlers,
        "limits": [resource.getrlimit(getattr(resource, n)) for n in dir(resource) if n.startswith("RLIMIT_")],
        "descriptors": sorted(descriptor for descriptor in range(64) if _is_open(descriptor)),
        "stdin": os.readlink("/proc/self/fd/0"),
        "same_output": os.readlink("/proc/self/fd/1") == os.readlink("/proc/self/fd/2"),
        "buffering": [sys.stdout.line_buffering, sys.stderr.line_buffering, sys.stdout.encoding],
        "leads_group": os.getpgrp() == os.getpid(),
        "own_session": os.getsid(0) == os.getpgrp() == os.getppid(),
        "torch_threads": torch.get_num_threads(),
        "grad": torch.is_grad_enabled(),
        "dtype": str(torch.get_default_dtype()),
        "process_group": torch.distributed.is_initialized(),
    }


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def main() -> None:
    """Behave."""
    spec = read_spec(SurroundingsSpec)
    (spec.work_dir / "pid").write_text(str(os.getpid()))
    match spec.behaviour:
        case "look":
            (spec.output_dir / "found.json").write_text(json.dumps(surroundings()))
            drawn = [random.random(), float(np.random.rand()), float(torch.rand(()))]
            (spec.output_dir / "random.json").write_text(json.dumps(drawn))
            write_manifest(spec, JOB, {"found": "found.json"}, {})
        case "print much":
            for number in range(LINES):
                print(f"line {number} {'x' * 80}")
                report_progress(number, LINES)
            write_manifest(spec, JOB, {}, {})
        case "leave children":
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
            (spec.work_dir / "child").write_text(str(child.pid))
            write_manifest(spec, JOB, {}, {})
            os._exit(0)
        case "run out of memory":
            enter_phase("growing")
            raise MemoryError
        case "wait":
            report_progress(0, 1)
            time.sleep(60)


if __name__ == "__main__":
    run(main)
