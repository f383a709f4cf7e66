"""The frame around a job's `main`: what goes wrong is told in one line that `models/processes/launch.py` understands.

The traceback always goes to the log. An error of our own keeps its class on the way to the caller (a wrong input must
not be retried, a killed process may be); running out of memory becomes a JobError that names the settings to change.
"""

import json
import sys
import traceback
from collections.abc import Callable
from resource import RUSAGE_SELF, getrusage

from data_contracts.errors import AlmostError, JobError

ERROR_MARK = "@error "
ERROR_EXIT_CODE = 3
MEMORY_KNOBS = (
    "lower micro_batch_size or max_length, set training.gradient_checkpointing, a higher training.zero_stage, "
    "training.offload, or training.lora_rank"
)
_phase = "starting"
_MEMORY_SIGNS = ("out of memory", "can't allocate memory", "cannot allocate memory", "not enough memory")


def is_out_of_memory(text: str) -> bool:
    """Whether an error message speaks of memory running out, on a GPU or the host."""
    lowered = text.lower()
    return any(sign in lowered for sign in _MEMORY_SIGNS)


def enter_phase(name: str) -> None:
    """Note what the job is doing, for the message when memory runs out."""
    global _phase
    _phase = name


def peak_memory() -> str:
    """The most memory that this process has held, on the host and on its GPU."""
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage(2): bytes there, KiB elsewhere
    peaks = [f"host {getrusage(RUSAGE_SELF).ru_maxrss * unit / 2**30:.2f} GiB"]
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        peaks.append(f"GPU {torch.cuda.max_memory_allocated() / 2**30:.2f} GiB")
    return ", ".join(peaks)


def report_error(error: AlmostError) -> None:
    """Print the one-line event from which the launcher re-raises `error` with its class."""
    event = {"class": type(error).__name__, "message": str(error)}
    sys.stdout.write(f"{ERROR_MARK}{json.dumps(event)}\n")
    sys.stdout.flush()


def run(main: Callable[[], None]) -> None:
    """Run a job's `main` and exit with a status that says how it went."""
    try:
        main()
    except AlmostError as error:
        traceback.print_exc()
        report_error(error)
        sys.exit(ERROR_EXIT_CODE)
    except (MemoryError, RuntimeError) as error:
        traceback.print_exc()
        if not isinstance(error, MemoryError) and not is_out_of_memory(str(error)):
            sys.exit(1)
        found = str(error).splitlines()[0] if str(error) else "host"
        report_error(JobError(f"out of memory while {_phase} (peak: {peak_memory()}): {found}; {MEMORY_KNOBS}"))
        sys.exit(ERROR_EXIT_CODE)
