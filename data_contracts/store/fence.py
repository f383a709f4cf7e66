"""A backend that refuses the writes of a holder who lost its lock."""

from pathlib import Path

from data_contracts.store.backends import Backend
from data_contracts.store.lock import StoreLock


class FencedBackend:
    """Passes everything on; each write and deletion asks the lock first.

    Raises:
        LockLostError: from every method that changes the store, once the lock is another's.
    """

    def __init__(self, backend: Backend, lock: StoreLock) -> None:
        self._backend, self._lock = backend, lock
        self.read_bytes = backend.read_bytes
        self.folders = backend.folders
        self.list = backend.list
        self.fetch = backend.fetch
        self.local_path = backend.local_path

    def put_file(self, local: Path, name: str) -> None:
        """Write or replace an object from a local file."""
        self._lock.check()
        self._backend.put_file(local, name)

    def put_bytes(self, name: str, content: bytes) -> None:
        """Write or replace an object."""
        self._lock.check()
        self._backend.put_bytes(name, content)

    def put_new(self, name: str, content: bytes) -> bool:
        """Write an object unless it exists."""
        self._lock.check()
        return self._backend.put_new(name, content)

    def delete(self, name: str) -> None:
        """Remove an object."""
        self._lock.check()
        self._backend.delete(name)
