"""Who computes a key: a claim and a heartbeat in the store, so that identical runs share the work.

No file lock, rename or synchronised clock is assumed of the store. Claims are numbered objects, each made by one
conditional write; the highest number holds the lock. Its holder rewrites a heartbeat every `beat_s` seconds. A waiter
takes over with the next number when the holder let go, is known to be dead (same machine), or its heartbeat has not
changed for `expiry_s` seconds by the waiter's own clock. A holder that sees a higher number, or could not write its
heartbeat for `expiry_s`, has lost: every write of its own through `FencedBackend` is then refused. One write that was
already under way may still arrive; it cannot mix with the successor's, for part names carry their bytes' hash and the
manifest is written by whoever comes first.
"""

import logging
import re
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field

from data_contracts.errors import LockLostError, TransientStoreError
from data_contracts.store.backends import Backend
from data_contracts.store.process_mark import ProcessMark

log = logging.getLogger("almost.store")
T = TypeVar("T")
LOCKS = "locks"
RELEASED = b"released"
_CLAIM = re.compile(r"\.claim-(\d+)\.json$")
_NUMBER = re.compile(r"\.(?:claim|beat)-(\d+)(?:\.json)?$")
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # on Linux, a suspended machine's clock goes on


@dataclass(frozen=True)
class LockTiming:
    """Seconds between heartbeats, of silence before another takes over, and between a waiter's looks."""

    beat_s: float = 10.0
    expiry_s: float = 60.0
    poll_s: float = 1.0


class Claim(BaseModel):
    """The content of a claim object."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    token: str
    process: ProcessMark
    fence: int = Field(description="How often a holder of this lock has been superseded while it may still be alive")


def _now() -> float:
    return time.clock_gettime(_CLOCK)


class StoreLock:
    """The lock of one key under `locks/`; use `acquire`, then `release`."""

    def __init__(self, backend: Backend, name: str, timing: LockTiming | None = None) -> None:
        self.timing = timing or LockTiming()
        self.fence = 0
        self._backend, self._prefix = backend, f"{LOCKS}/{name}"
        self._token = uuid.uuid4().hex
        self._number = 0  # of our claim; 0 while we hold none
        self._lost = False
        self._written = 0.0  # when our last heartbeat arrived
        self._stop = threading.Event()
        self._heartbeat: threading.Thread | None = None
        self._seen: tuple[int, bytes | None] = (0, None)  # the holder's number and heartbeat as last seen
        self._seen_since = 0.0

    def acquire(self, found: Callable[[], T | None], limit_s: float, on_wait: Callable[[str], None]) -> T | None:
        """Wait until `found()` gives the outputs (they are returned) or the lock is ours (None is returned).

        Raises:
            TransientStoreError: another holder is alive and not done after `limit_s`.
        """
        deadline, told = _now() + limit_s, False
        while True:
            if self._try_claim():
                outputs = found()  # the holder before us may have finished between our look and our claim
                if outputs is not None:
                    self.release(finished=True)
                return outputs
            if not told:
                on_wait(f"{self._prefix}: another run computes this; waiting for it")
                told = True
            if _now() >= deadline:
                raise TransientStoreError(f"{self._prefix}: another run has not finished within {limit_s:.0f} s")
            time.sleep(self.timing.poll_s)
            outputs = found()
            if outputs is not None:
                return outputs

    def check(self) -> None:
        """Raise LockLostError unless the lock is still ours."""
        if self._lost or _now() - self._written > self.timing.expiry_s:
            self._lost = True
            raise LockLostError(
                f"{self._prefix}: this process was silent and another run took over; nothing is written"
            )

    def release(self, finished: bool) -> None:
        """Let go. When the outputs are there, nothing of the lock stays behind."""
        self._stop.set()
        if self._heartbeat is not None:  # a beat on its way to the store would arrive after the end
            self._heartbeat.join(self.timing.expiry_s)
        if self._number == 0 or self._lost:
            return
        if finished:
            self._forget_up_to(self._number)
        else:
            self._backend.put_bytes(self._beat(self._number), RELEASED)
        self._number = 0

    def _try_claim(self) -> bool:
        number, holder = self._highest()
        fence = holder.fence if holder else 0
        if number:
            beat = self._backend.read_bytes(self._beat(number))
            dead = holder is not None and holder.process.is_known_dead()
            if beat != RELEASED and not dead:
                if not self._silent(number, beat):
                    return False
                fence += 1
        claim = Claim(token=self._token, process=ProcessMark.of_this_process(), fence=fence)
        if not self._backend.put_new(self._claim(number + 1), claim.model_dump_json().encode()):
            return False
        self._number, self.fence = number + 1, fence
        self._forget_up_to(number)
        self._put_beat(0)
        self._heartbeat = threading.Thread(target=self._keep_beating, name=f"heartbeat of {self._prefix}", daemon=True)
        self._heartbeat.start()
        return True

    def _silent(self, number: int, beat: bytes | None) -> bool:
        """Whether the holder's heartbeat has stood still for the expiry, by this process's clock."""
        now = _now()
        if self._seen != (number, beat):
            self._seen, self._seen_since = (number, beat), now
        return now - self._seen_since >= self.timing.expiry_s

    def _highest(self) -> tuple[int, Claim | None]:
        numbers = [int(match.group(1)) for name in self._objects() if (match := _CLAIM.search(name))]
        if not numbers:
            return 0, None
        content = self._backend.read_bytes(self._claim(max(numbers)))
        try:
            return max(numbers), None if content is None else Claim.model_validate_json(content)
        except ValueError:  # its writer died in the middle, on a file system without hard links
            return max(numbers), None

    def _keep_beating(self) -> None:
        count = 0
        while not self._stop.wait(self.timing.beat_s):
            count += 1
            try:
                _, holder = self._highest()
                if holder is None or holder.token != self._token:
                    self._lost = not self._stop.is_set()
                    return
                self.check()
                self._put_beat(count)
            except LockLostError:
                return
            except Exception as error:  # noqa: BLE001 - the store may answer again before the expiry
                log.warning("%s: heartbeat not written: %s", self._prefix, error)

    def _put_beat(self, count: int) -> None:
        asked = _now()  # what others see is at least as new as this
        self._backend.put_bytes(self._beat(self._number), f"{self._token} {count}".encode())
        self._written = asked

    def _forget_up_to(self, number: int) -> None:
        for name in self._objects():
            match = _NUMBER.search(name)
            if match and int(match.group(1)) <= number:
                with suppress(OSError):
                    self._backend.delete(name)

    def _objects(self) -> list[str]:
        """The lock's objects; those of all held locks lie in one folder, so that none is left behind empty."""
        return [name for name in self._backend.list(LOCKS) if name.startswith(f"{self._prefix}.")]

    def _claim(self, number: int) -> str:
        return f"{self._prefix}.claim-{number:06d}.json"

    def _beat(self, number: int) -> str:
        return f"{self._prefix}.beat-{number:06d}"
