"""Runs a command and ends its whole process group when the process that asked for it is gone.

Stand-alone on purpose (standard library only, started with `python -I -S`), so that it costs milliseconds and works for
any job, also under torchrun. Usage: `python -I -S job_guard.py FD COMMAND...`, where FD is the read end of a pipe whose
write end only the launcher holds: end-of-file on it means that the launcher died, even by SIGKILL. With
`FD --forked PID STATUS COMMAND...` the command runs already as child PID, and its exit status is written to STATUS as well.
"""

import os
import signal
import subprocess
import sys
import threading
import time

GRACE_S = 3.0


def _end_group_with_launcher(pipe: int, launcher_gone: threading.Event) -> None:
    while os.read(pipe, 64):
        pass
    launcher_gone.set()
    os.killpg(0, signal.SIGTERM)
    time.sleep(GRACE_S)
    os.killpg(0, signal.SIGKILL)


def main() -> int:
    """Run the command, or wait for it; the exit status is the command's, or 128 + signal."""
    pipe = int(sys.argv[1])
    # Signals go to the whole group: the command dies of them, and the guard lives on to report how it ended.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    forked = sys.argv[2] == "--forked"
    command = None if forked else subprocess.Popen(sys.argv[2:], stdin=subprocess.DEVNULL)
    launcher_gone = threading.Event()
    watch = threading.Thread(target=_end_group_with_launcher, args=(pipe, launcher_gone), daemon=True)
    watch.start()
    code = command.wait() if command else os.waitstatus_to_exitcode(os.waitpid(int(sys.argv[3]), 0)[1])
    if launcher_gone.is_set():
        watch.join()  # ends with SIGKILL of the group: the command may have left stubborn children
    code = code if code >= 0 else 128 - code
    if forked:
        os.write(int(sys.argv[4]), str(code).encode())
    return code


if __name__ == "__main__":
    sys.exit(main())
