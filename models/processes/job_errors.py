"""Why a job failed, as an exception of the right class: retries go by class."""

import re
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from data_contracts import errors
from data_contracts.errors import AlmostError, JobError, TransientJobError
from models.processes.job_entry import MEMORY_KNOBS, is_out_of_memory

# Signals that come from outside (an evicted worker, an operator, the kernel's memory killer). A crash of the job's own
# making (SIGSEGV, SIGABRT, SIGFPE, ...) would repeat itself.
_FROM_OUTSIDE = {signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
_TORCHRUN_SIGNAL = re.compile(r"exitcode\s*:\s*-(\d+)")


def raise_for_exit(
    module: str, code: int, problem: dict[str, Any] | None, log_path: Path, lines: Sequence[str]
) -> NoReturn:
    """Raise what a job's end means: its own error event first, then signal, memory, and plain failure."""
    where = f"log: {log_path}"
    if problem is not None:
        raise _own_class(problem)(f"{module}: {problem.get('message', '')} ({where})")
    text = "\n".join(lines)
    if is_out_of_memory(text):
        raise JobError(f"{module} ran out of memory (exit code {code}); {MEMORY_KNOBS}; {where}; last lines:\n{text}")
    number = _signal_of(code, text)
    if number is not None and number in _FROM_OUTSIDE:
        hint = ", or by the kernel for want of memory" if number == signal.SIGKILL else ""
        raise TransientJobError(
            f"{module} was killed by {number.name} from outside{hint}; the same spec resumes from its last checkpoint; "
            f"{where}; last lines:\n{text}"
        )
    ended = f"died of {number.name}" if number is not None else f"ended with exit code {code}"
    raise JobError(f"{module} {ended}; {where}; last lines:\n{text}")


def _own_class(problem: dict[str, Any]) -> type[AlmostError]:
    found = getattr(errors, str(problem.get("class")), JobError)
    return found if isinstance(found, type) and issubclass(found, AlmostError) else JobError


def _signal_of(code: int, text: str) -> signal.Signals | None:
    in_log = _TORCHRUN_SIGNAL.search(text)
    number = code - 128 if code > 128 else int(in_log.group(1)) if in_log else 0
    try:
        return signal.Signals(number)
    except ValueError:
        return None
