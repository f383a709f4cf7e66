"""Where the store's bytes lie: a local folder, or anything fsspec can open (s3://, memory://, ...).

No rename, symlink or file lock is asked of a remote backend: only whole-object writes and one conditional write.
"""

import os
import shutil
import uuid
from pathlib import Path
from typing import Protocol

import fsspec

from data_contracts.errors import ConfigError, StoreError


class Backend(Protocol):
    """Object storage with names relative to the store's root."""

    def put_file(self, local: Path, name: str) -> None: ...
    def put_bytes(self, name: str, content: bytes) -> None: ...
    def put_new(self, name: str, content: bytes) -> bool: ...
    def read_bytes(self, name: str) -> bytes | None: ...
    def folders(self, folder: str) -> list[str]: ...
    def list(self, folder: str) -> list[str]: ...
    def delete(self, name: str) -> None: ...
    def fetch(self, name: str, local: Path) -> None: ...
    def local_path(self, name: str) -> Path | None: ...


class LocalBackend:
    """A folder on this machine; writes are temporary name + fsync + rename, the conditional write is a hard link."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put_file(self, local: Path, name: str) -> None:
        """Copy a finished local file; a link would let a resumed job write into the store."""
        target = self._target(name)
        temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}")
        shutil.copyfile(local, temporary)
        temporary.replace(target)

    def put_bytes(self, name: str, content: bytes) -> None:
        """Write or replace an object."""
        target = self._target(name)
        self._temporary(target, content).replace(target)

    def put_new(self, name: str, content: bytes) -> bool:
        """Write an object unless it exists; False when it does. The first writer wins."""
        target = self._target(name)
        temporary = self._temporary(target, content)
        try:
            os.link(temporary, target)
        except FileExistsError:
            return False
        except OSError:  # no hard links here; a crash in the middle leaves a broken object, which readers notice
            return self._create(target, content)
        finally:
            temporary.unlink()
        return True

    def read_bytes(self, name: str) -> bytes | None:
        """An object's bytes, None when it does not exist."""
        try:
            return (self.root / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def folders(self, folder: str) -> list[str]:
        """list[str] of the folders directly in `folder`, without their path."""
        path = self.root / folder
        return sorted(entry.name for entry in path.iterdir() if entry.is_dir()) if path.is_dir() else []

    def list(self, folder: str) -> list[str]:
        """Names of the objects directly in `folder`."""
        path = self.root / folder
        if not path.is_dir():
            return []
        return sorted(f"{folder}/{entry.name}" for entry in path.iterdir() if entry.is_file())

    def delete(self, name: str) -> None:
        """Remove an object if it is there."""
        (self.root / name).unlink(missing_ok=True)

    def fetch(self, name: str, local: Path) -> None:
        """Copy an object to a local file."""
        local.parent.mkdir(parents=True, exist_ok=True)
        local.write_bytes((self.root / name).read_bytes())

    def local_path(self, name: str) -> Path | None:
        """The object's own path: nothing needs copying."""
        return self.root / name

    def _target(self, name: str) -> Path:
        target = self.root / name
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"cannot write to {target.parent}: {error.strerror}; set ALMOST_HOME or --home"
            ) from error
        return target

    def _create(self, target: Path, content: bytes) -> bool:
        try:
            with target.open("xb") as sink:
                sink.write(content)
        except FileExistsError:
            return False
        return True

    def _temporary(self, target: Path, content: bytes) -> Path:
        temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}")
        with temporary.open("wb") as sink:
            sink.write(content)
            sink.flush()
            os.fsync(sink.fileno())
        return temporary


FETCHED_AT_ONCE = 64 << 20  # bytes
OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az"})  # nothing but the bucket is a folder


class RemoteBackend:
    """Any fsspec file system; the conditional write is the file system's own `mode="create"`.

    Others write to it, too, so nothing that it listed is remembered.
    """

    def __init__(self, url: str) -> None:
        try:
            self.fs, self.root = fsspec.core.url_to_fs(url, use_listings_cache=False)
        except (ValueError, ImportError) as error:
            raise ConfigError(f"cannot open the store {url}: {error}") from error
        self._has_folders = url.partition("://")[0] not in OBJECT_STORES
        if not self._has_folders:
            self._require_reach(url)

    def put_file(self, local: Path, name: str) -> None:
        """Upload a local file as one object."""
        self.put_bytes(name, local.read_bytes()) if local.stat().st_size < 1 << 24 else self._upload(local, name)

    def put_bytes(self, name: str, content: bytes) -> None:
        """Write or replace an object."""
        self._make_parent(name)
        self.fs.pipe_file(self._full(name), content)

    def put_new(self, name: str, content: bytes) -> bool:
        """Write an object unless it exists; False when it does."""
        self._make_parent(name)
        try:
            self.fs.pipe_file(self._full(name), content, mode="create")
        except FileExistsError:
            return False
        return True

    def read_bytes(self, name: str) -> bytes | None:
        """An object's bytes, None when it does not exist."""
        try:
            return self.fs.cat_file(self._full(name))
        except FileNotFoundError:
            return None

    def folders(self, folder: str) -> list[str]:
        """list[str] of the folders directly in `folder`, without their path."""
        self.fs.invalidate_cache()
        try:
            entries = self.fs.ls(self._full(folder), detail=True)
        except FileNotFoundError:
            return []
        return sorted(e["name"].rstrip("/").rsplit("/", 1)[-1] for e in entries if e["type"] == "directory")

    def list(self, folder: str) -> list[str]:
        """Names of the objects directly in `folder`."""
        try:
            entries = self.fs.ls(self._full(folder), detail=True, refresh=True)
        except TypeError:
            entries = self.fs.ls(self._full(folder), detail=True)
        except FileNotFoundError:
            return []
        return sorted(f"{folder}/{e['name'].rsplit('/', 1)[-1]}" for e in entries if e["type"] == "file")

    def delete(self, name: str) -> None:
        """Remove an object if it is there."""
        if self.fs.exists(self._full(name)):
            self.fs.rm_file(self._full(name))

    def fetch(self, name: str, local: Path) -> None:
        """Download an object to a local file, range by range.

        Ranges rather than `get_file`: fsspec's memory file system hands every reader the same open file with the
        same position, so that two threads fetching one object would each get a part of it.
        """
        local.parent.mkdir(parents=True, exist_ok=True)
        full = self._full(name)
        try:
            size = self.fs.size(full)
            with local.open("wb") as sink:
                for start in range(0, size, FETCHED_AT_ONCE):
                    sink.write(self.fs.cat_file(full, start=start, end=min(start + FETCHED_AT_ONCE, size)))
        except FileNotFoundError as error:
            raise StoreError(f"{self._full(name)} is gone from the store") from error

    def local_path(self, name: str) -> Path | None:
        """None: a remote object has no local path."""
        return None

    def _upload(self, local: Path, name: str) -> None:
        self._make_parent(name)
        self.fs.put_file(str(local), self._full(name))

    def _require_reach(self, url: str) -> None:
        """List the root, as the store will: what cannot be reached is told before any work."""
        try:
            self.fs.ls(self.root)
        except FileNotFoundError as error:  # nothing is there yet, or no bucket
            answer = getattr(error.__cause__, "response", {})
            if answer.get("Error", {}).get("Code") == "NoSuchBucket":
                bucket = self.root.partition("/")[0]
                raise ConfigError(
                    f"cannot open the store {url}: there is no bucket '{bucket}'; create it, or correct ALMOST_HOME or --home"
                ) from error
        except Exception as error:  # every file system has errors of its own
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise ConfigError(
                f"cannot reach the store {url}: {reason}; check the address, the credentials and the network"
            ) from error

    def _make_parent(self, name: str) -> None:
        """On an object store there is nothing to make, and a missing bucket must not be."""
        if self._has_folders:
            self.fs.makedirs(self._full(name).rsplit("/", 1)[0], exist_ok=True)

    def _full(self, name: str) -> str:
        return f"{self.root.rstrip('/')}/{name}"


def open_backend(url: str) -> Backend:
    """The backend of a store URL; a URL without a scheme is a local folder."""
    if "://" not in url or url.startswith("file://"):
        return LocalBackend(Path(url.removeprefix("file://")).expanduser().absolute())
    return RemoteBackend(url)
