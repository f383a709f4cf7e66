"""The frame around a job's `main`: what goes wrong is told in one line that `models/launch.py` understands.

The traceback always goes to the log. An error of our own keeps its class on the way to the caller (a wrong input must
not be retried, a killed process may be); running out of memory becomes a JobError that names the settings to change.
"""

import json
import sys
import traceback
from collections.abc import Callable

from data_contracts.errors import AlmostError, JobError

ERROR_MARK = "@error "
ERROR_EXIT_CODE = 3
MEMORY_KNOBS = (
    "lower micro_batch_size or max_length, set training.gradient_checkpointing, a higher training.zero_stage, "
    "training.offload, or training.lora_rank"
)
_MEMORY_SIGNS = ("out of memory", "can't allocate memory", "cannot allocate memory", "not enough memory")


def is_out_of_memory(text: str) -> bool:
    """Whether an error message speaks of memory running out, on a GPU or the host."""
    lowered = text.lower()
    return any(sign in lowered for sign in _MEMORY_SIGNS)


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
        report_error(JobError(f"out of memory: {str(error).splitlines()[0] if str(error) else 'host'}; {MEMORY_KNOBS}"))
        sys.exit(ERROR_EXIT_CODE)
