"""Which process this is, told apart from one that later gets the same number, also on other machines."""

import os
import socket
import subprocess
from contextlib import suppress
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict


def process_start(pid: int) -> str | None:
    """An opaque mark of when `pid` started, None when it no longer runs: tells a reused pid apart."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return None if fields[0] in "ZX" else fields[19]  # proc(5): state, and start time in clock ticks
    except FileNotFoundError:
        if Path("/proc/self").exists():
            return None
    shown = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return shown.stdout.strip() or None


@cache
def machine() -> str:
    """Where process numbers mean the same: host, boot and process namespace (containers may share a host's name)."""
    marks = [socket.gethostname()]
    with suppress(OSError):  # not Linux: the name has to do
        marks += [Path("/proc/sys/kernel/random/boot_id").read_text().strip(), os.readlink("/proc/self/ns/pid")]
    return " ".join(marks)


class ProcessMark(BaseModel):
    """A process of some machine."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    machine: str
    pid: int
    start: str | None

    @classmethod
    def of_this_process(cls) -> "ProcessMark":
        """This process's mark."""
        return cls(machine=machine(), pid=os.getpid(), start=process_start(os.getpid()))

    def is_known_dead(self) -> bool:
        """Whether it ran on this machine and does no longer; False when that cannot be told from here."""
        return self.machine == machine() and (self.start is None or process_start(self.pid) != self.start)
