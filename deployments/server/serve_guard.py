"""Ends what `almost serve` started once that is gone, also by SIGKILL.

Usage: python -m deployments.server.serve_guard FD MARK, where FD is the read end of a pipe whose write end only `almost serve`
holds: end-of-file on it means that it ended. After an orderly stop there is nothing left to end.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from data_contracts.store.home import working_folder
from deployments.server.processes import end_marked

GRACE_S = 10.0


@contextmanager
def guarded(mark: str) -> Iterator[None]:
    """Inside, a guard process watches over this one; it ends every process with the mark when this one is gone."""
    watched, held = os.pipe()
    guard = subprocess.Popen(
        [sys.executable, "-m", "deployments.server.serve_guard", str(watched), mark],
        cwd=working_folder(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=(watched,),
        start_new_session=True,
    )
    os.close(watched)
    try:
        yield
    finally:
        os.close(held)
        guard.wait()


def main() -> None:
    """Wait for the end of the pipe, then end everything that carries the mark."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    pipe, mark = int(sys.argv[1]), sys.argv[2]
    while os.read(pipe, 64):
        pass
    end_marked(mark, GRACE_S)


if __name__ == "__main__":
    main()
