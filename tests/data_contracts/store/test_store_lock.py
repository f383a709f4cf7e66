"""The lock of a key in the store: one holder, takeover from the dead and the silent, and no writes by the superseded."""

import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from data_contracts.errors import LockLostError, TransientStoreError
from data_contracts.store.artifact_store import Store
from data_contracts.store.backends import Backend, open_backend
from data_contracts.store.fence import FencedBackend
from data_contracts.store.lock import RELEASED, Claim, LockTiming, StoreLock
from data_contracts.store.process_mark import ProcessMark, machine
from data_contracts.store.scratch import job_folder

QUICK = LockTiming(beat_s=0.05, expiry_s=0.5, poll_s=0.02)
STILL = LockTiming(beat_s=3600, expiry_s=0.5, poll_s=0.02)  # its heart beats once
LIMIT_S = 30


@pytest.fixture
def backend(url: str) -> Backend:
    return open_backend(url)


def nothing() -> None:
    return None


def taken(lock: StoreLock, limit_s: float = LIMIT_S) -> StoreLock:
    assert lock.acquire(nothing, limit_s, lambda _text: None) is None
    return lock


def objects(backend: Backend) -> list[str]:
    return [name.removeprefix("locks/k.") for name in backend.list("locks")]


def test_of_many_at_once_one_computes_and_the_others_find_its_outputs(backend: Backend):
    made: list[int] = []
    found: list[int] = []

    def run(number: int) -> None:
        lock = StoreLock(backend, "k", QUICK)
        outputs = lock.acquire(lambda: made[0] if made else None, LIMIT_S, lambda _text: None)
        if outputs is None:
            time.sleep(2 * QUICK.expiry_s)  # longer than the expiry: the heartbeat keeps the lock
            lock.check()
            made.append(number)
            lock.release(finished=True)
        else:
            found.append(outputs)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert found == made * 5
    assert objects(backend) == []


class SlowBeat:
    """A backend in which a heartbeat, but for the first, stays on its way until `gate` opens."""

    def __init__(self, backend: Backend) -> None:
        self.backend, self.gate, self.under_way = backend, threading.Event(), threading.Event()
        self.beats = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.backend, name)

    def put_bytes(self, name: str, content: bytes) -> None:
        if ".beat-" in name and content != RELEASED:
            self.beats += 1
            if self.beats == 2:
                self.under_way.set()
                assert self.gate.wait(LIMIT_S)
        self.backend.put_bytes(name, content)


@pytest.mark.parametrize("finished", [True, False])
def test_a_heartbeat_on_its_way_does_not_arrive_after_the_release(backend: Backend, finished: bool):
    slow = SlowBeat(backend)
    lock = taken(StoreLock(slow, "k", LockTiming(beat_s=0.01, expiry_s=LIMIT_S, poll_s=0.01)))  # type: ignore[arg-type]
    assert slow.under_way.wait(LIMIT_S)
    release = threading.Thread(target=lock.release, args=(finished,))
    release.start()
    release.join(0.3)  # time to go wrong: a release that does not wait is over by then
    slow.gate.set()
    release.join()
    for thread in threading.enumerate():
        if thread.name == "heartbeat of locks/k":
            thread.join(LIMIT_S)
    assert objects(backend) == ([] if finished else ["beat-000001", "claim-000001.json"])
    if not finished:
        assert backend.read_bytes("locks/k.beat-000001") == RELEASED


def test_a_waiter_gives_up_after_its_limit_and_says_what_it_waits_for(backend: Backend):
    holder, told = taken(StoreLock(backend, "k", QUICK)), []
    with pytest.raises(TransientStoreError, match="locks/k: another run has not finished within 0 s"):
        StoreLock(backend, "k", QUICK).acquire(nothing, 0.2, told.append)
    assert told == ["locks/k: another run computes this; waiting for it"]
    holder.check()
    holder.release(finished=False)


def test_a_failed_holder_lets_the_next_in_at_once(backend: Backend):
    taken(StoreLock(backend, "k", STILL)).release(finished=False)
    started = time.monotonic()
    second = taken(StoreLock(backend, "k", STILL))
    assert time.monotonic() - started < STILL.expiry_s
    assert second.fence == 0
    assert objects(backend) == ["beat-000002", "claim-000002.json"]


def test_the_silent_holder_is_superseded_and_can_write_no_more(backend: Backend):
    first = taken(StoreLock(backend, "k", STILL))
    fenced = FencedBackend(backend, first)
    fenced.put_bytes("before", b"1")
    second = taken(StoreLock(backend, "k", QUICK))
    assert second.fence == 1
    for write in (
        lambda: fenced.put_bytes("after", b"1"),
        lambda: fenced.put_new("after", b"1"),
        lambda: fenced.put_file(Path(__file__), "after"),
        lambda: fenced.delete("before"),
    ):
        with pytest.raises(LockLostError, match="another run took over"):
            write()
    first.release(finished=True)  # must not release its successor's
    second.check()
    assert fenced.read_bytes("before") == b"1"
    assert backend.read_bytes("after") is None
    second.release(finished=True)
    assert objects(backend) == []


def test_a_holder_that_is_back_learns_from_its_heartbeat_that_it_was_superseded(backend: Backend):
    first = taken(StoreLock(backend, "k", QUICK))
    claim = Claim(token="another", process=ProcessMark.of_this_process(), fence=1)
    backend.put_new("locks/k.claim-000002.json", claim.model_dump_json().encode())
    deadline = time.monotonic() + LIMIT_S
    while not first._lost and time.monotonic() < deadline:
        time.sleep(0.01)
    with pytest.raises(LockLostError):
        first.check()


def test_a_killed_process_of_this_machine_is_not_waited_for(tmp_path: Path):
    patient = LockTiming(beat_s=3600, expiry_s=3600, poll_s=0.02)
    code = (
        "import os, sys; from data_contracts.store.lock import *; from data_contracts.store.backends import open_backend\n"
        "StoreLock(open_backend(sys.argv[1]), 'k').acquire(lambda: None, 9, print); os.kill(os.getpid(), 9)"
    )
    home = str(tmp_path / "home")
    assert subprocess.run([sys.executable, "-c", code, home], cwd=Path(__file__).parents[3], check=False).returncode < 0
    lock = taken(StoreLock(open_backend(home), "k", patient))
    assert lock.fence == 0, "it is certainly dead: its folders need no moving"


def test_a_claim_broken_off_in_the_middle_counts_as_a_silent_holder(tmp_path: Path):
    backend = open_backend(str(tmp_path))
    backend.put_bytes("locks/k.claim-000001.json", b'{"tok')
    started = time.monotonic()
    taken(StoreLock(backend, "k", QUICK))
    assert time.monotonic() - started >= QUICK.expiry_s


def test_processes_of_other_machines_are_never_known_dead():
    here = ProcessMark.of_this_process()
    assert not here.is_known_dead()
    assert here.model_copy(update={"start": "earlier"}).is_known_dead()
    assert not here.model_copy(update={"start": "earlier", "machine": machine() + " elsewhere"}).is_known_dead()


def test_a_fenced_store_is_the_same_store_until_the_lock_is_lost(tmp_path: Path):
    store = Store(str(tmp_path / "home"))
    lock = taken(StoreLock(store.backend, "k", STILL))
    fenced = store.fenced(lock)
    fenced.backend.put_bytes("x", b"1")
    assert store.backend.read_bytes("x") == b"1"
    time.sleep(1.5 * STILL.expiry_s)
    with pytest.raises(LockLostError):
        fenced.backend.put_bytes("y", b"1")


def test_the_successor_of_a_silent_holder_moves_its_job_folder_away(tmp_path: Path):
    first = job_folder(tmp_path, "key")
    (first / "checkpoint").write_text("step 3")
    second = job_folder(tmp_path, "key", fence=1)
    assert (second / "checkpoint").read_text() == "step 3"
    assert not first.exists()
    assert job_folder(tmp_path, "key", fence=1) == second
    assert (job_folder(tmp_path, "key", fence=3) / "checkpoint").exists()
    assert not second.exists()
