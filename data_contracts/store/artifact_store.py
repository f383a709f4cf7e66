"""The store: the only truth about what has been made.

An artifact is a folder `<contract>/<key>/` of parts and a manifest. Parts come first, the manifest last, by a
conditional write: the first writer wins, and the loser returns the winner's artifact. Part names carry the hash of
their bytes (checkpoints: their folder does), so that two writers of one key can never mix their files.
"""

import json
import logging
import os
import shutil
import uuid
from collections.abc import Mapping
from copy import copy
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from data_contracts.errors import ConfigError, ContractError, DamagedArtifactError
from data_contracts.folder_contracts import FolderContract
from data_contracts.rows.row import Row
from data_contracts.rows.rows import Rows
from data_contracts.store.artifact import Artifact
from data_contracts.store.backends import Backend, LocalBackend, open_backend
from data_contracts.store.damage import PartChecks, warn_when_rebuilt_differently
from data_contracts.store.fence import FencedBackend
from data_contracts.store.home import working_folder
from data_contracts.store.keys import file_digest
from data_contracts.store.lock import StoreLock
from data_contracts.store.manifest import COST_FILE, MANIFEST_FILE, Cost, Manifest, Part, Provenance, content_digest
from data_contracts.store.stored import RepeatedKeys, StoredFolder, StoredRows, StoredShards

log = logging.getLogger("almost.store")
AnyContract = type[Row] | type[FolderContract]
R = TypeVar("R", bound=Row)


class Store:
    """Artifacts under one root, `ALMOST_HOME`: a local folder or an fsspec URL."""

    def __init__(self, url: str, scratch: Path | None = None) -> None:
        self.url = url
        self.backend: Backend = open_backend(url)
        self.scratch = scratch or self._default_scratch()
        self._parts = PartChecks(self.backend)
        try:
            self.scratch.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"cannot write to {self.scratch}: {error.strerror}; set ALMOST_HOME or --home") from error
        if not os.access(self.scratch, os.W_OK):
            raise ConfigError(f"cannot write to {self.scratch}; set ALMOST_HOME or --home to a folder you own")

    def fenced(self, lock: StoreLock) -> "Store":
        """This store for the holder of `lock`: it refuses to write once the lock is lost."""
        fenced = copy(self)
        fenced.backend = FencedBackend(self.backend, lock)
        return fenced

    def _default_scratch(self) -> Path:
        if isinstance(self.backend, LocalBackend):
            return self.backend.root / "scratch"
        return Path(os.environ.get("ALMOST_SCRATCH") or working_folder() / ".almost").absolute() / "scratch"

    # -- writing ---------------------------------------------------------------------------------------------------

    def prepare(self, key: str) -> Path:
        """A fresh local folder to prepare an artifact's files in."""
        folder = self.scratch / "staging" / f"{key}-{uuid.uuid4().hex[:8]}"
        folder.mkdir(parents=True)
        return folder

    def write_shard(self, contract: type[Row], key: str, shard: int, table: pa.Table) -> Part:
        """Store one part of a table before the artifact is complete; its receipt makes a rerun skip it."""
        staging = self.prepare(key)
        try:
            local = staging / "part.parquet"
            contract.write_part(table, local)
            digest = file_digest(local)
            name = f"part-{shard:05d}-{digest[:12]}.parquet"
            part = Part(name=name, sha256=digest, bytes=local.stat().st_size, rows=table.num_rows)
            self.backend.put_file(local, f"{contract.contract_id()}/{key}/{name}")
            self.backend.put_bytes(self._receipt(contract, key, shard), part.model_dump_json().encode())
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        return part

    def find_shard(self, contract: type[Row], key: str, shard: int) -> Part | None:
        """The part a previous run stored for this shard, if its bytes are still what the receipt says."""
        content = self.backend.read_bytes(self._receipt(contract, key, shard))
        if content is None:
            return None
        try:
            part = Part.model_validate_json(content)
        except ValueError:
            return None  # the writer died while writing the receipt
        return part if self._parts.is_intact(f"{contract.contract_id()}/{key}", part) else None

    def read_shard(self, contract: type[Row], key: str, part: Part) -> pa.Table:
        """The table of one stored part."""
        name = f"{contract.contract_id()}/{key}/{part.name}"
        path = self._local_copy(name, part)
        return contract.read_parts([path])

    def commit_parts(self, contract: AnyContract, key: str, parts: list[Part], provenance: Provenance) -> Artifact:
        """Make an artifact of stored parts by writing its manifest; the first writer wins."""
        manifest = Manifest(
            contract=contract.contract_id(),
            schema_fingerprint=contract.fingerprint(),
            key=key,
            digest=content_digest(contract.contract_id(), parts),
            rows=sum(part.rows for part in parts),
            parts=tuple(parts),
            provenance=provenance,
        )
        folder = f"{contract.contract_id()}/{key}"
        content = json.dumps(manifest.model_dump(mode="json"), indent=1, sort_keys=True).encode()
        if not self.backend.put_new(f"{folder}/{MANIFEST_FILE}", content):
            winner = self.find(contract, key)
            if winner is None:
                raise DamagedArtifactError(f"{folder}: another writer's artifact is damaged; run again to rebuild it")
            if winner.digest != manifest.digest:
                log.warning("%s: another writer finished first with other bytes; using its artifact", folder)
            return winner
        warn_when_rebuilt_differently(self.backend, folder, manifest)
        return _handle(manifest)

    def commit_table(self, contract: type[Row], key: str, table: pa.Table, provenance: Provenance) -> Artifact:
        """Check, store and commit a table of one part."""
        return self.commit_parts(contract, key, [self.write_shard(contract, key, 0, table)], provenance)

    def commit_rows(self, key: str, rows: Rows[R], provenance: Provenance) -> StoredRows[R]:
        """Check, store and commit rows part by part; memory does not grow with their number.

        Rows that lie in the store already are returned as they are.
        """
        if isinstance(rows, StoredRows):
            return rows
        parts = rows.parts if isinstance(rows, StoredShards) else self._write_parts(key, rows)
        return StoredRows(rows.row, self.commit_parts(rows.row, key, parts, provenance), self)

    def _write_parts(self, key: str, rows: Rows[R]) -> list[Part]:
        parts, keys = [], RepeatedKeys(rows.row)
        for number, table in enumerate(rows.tables()):
            keys.add(table)
            parts.append(self.write_shard(rows.row, key, number, table))
        keys.require_none()
        return parts

    def stored(
        self, contract: AnyContract, handle: Artifact | Mapping[str, Any]
    ) -> StoredRows[Any] | StoredFolder[Any]:
        """The rows or the folder behind a handle."""
        artifact = handle if isinstance(handle, Artifact) else Artifact.model_validate(handle)
        if issubclass(contract, Row):
            return StoredRows(contract, artifact, self)
        return StoredFolder(contract, artifact, self)

    def commit_folder(self, contract: type[FolderContract], key: str, folder: Path, provenance: Provenance) -> Artifact:
        """Check, store and commit a folder of files, each under its own name."""
        contract.check_folder(folder)
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        digests = {path.relative_to(folder).as_posix(): file_digest(path) for path in files}
        inner = "files-" + content_digest(contract.contract_id(), [_part(n, d, 0) for n, d in digests.items()])[:12]
        parts = []
        for path, (relative, digest) in zip(files, digests.items(), strict=True):
            parts.append(_part(f"{inner}/{relative}", digest, path.stat().st_size))
            self.backend.put_file(path, f"{contract.contract_id()}/{key}/{inner}/{relative}")
        return self.commit_parts(contract, key, parts, provenance)

    def write_cost(self, artifact: Artifact, cost: Cost) -> None:
        """Write the sidecar of times and counters."""
        self.backend.put_bytes(f"{artifact.path}/{COST_FILE}", cost.model_dump_json(indent=1).encode())

    # -- reading ---------------------------------------------------------------------------------------------------

    def find(self, contract: AnyContract, key: str) -> Artifact | None:
        """The complete, verified artifact of a key. A damaged one is set aside, so that the caller rebuilds it."""
        folder = f"{contract.contract_id()}/{key}"
        content = self.backend.read_bytes(f"{folder}/{MANIFEST_FILE}")
        if content is None:
            return None
        try:
            manifest = Manifest.model_validate_json(content)
            damaged = [part.name for part in manifest.parts if not self._parts.is_intact(folder, part)]
        except ValueError:
            damaged = [MANIFEST_FILE]
        if damaged:
            log.warning("%s: %s missing or altered; the artifact will be rebuilt", folder, ", ".join(damaged[:3]))
            self.backend.put_bytes(f"{folder}/damaged-{MANIFEST_FILE}", content)
            self.backend.delete(f"{folder}/{MANIFEST_FILE}")
            return None
        if manifest.schema_fingerprint != contract.fingerprint():
            raise ContractError(f"{folder}: stored under another schema of {contract.contract_id()}; raise its version")
        return _handle(manifest)

    def manifest(self, artifact: Artifact) -> Manifest:
        """The manifest of an artifact.

        Raises:
            DamagedArtifactError: it is gone, or describes other bytes than the handle.
        """
        content = self.backend.read_bytes(f"{artifact.path}/{MANIFEST_FILE}")
        if content is None:
            raise DamagedArtifactError(f"{self.url}/{artifact.path} has no manifest; run the step again")
        try:
            manifest = Manifest.model_validate_json(content)
        except ValueError as error:
            raise DamagedArtifactError(f"{artifact.path} has a broken manifest; run the step again") from error
        if manifest.digest != artifact.digest:
            raise DamagedArtifactError(f"{artifact.path} holds other bytes than its handle says; run the step again")
        return manifest

    def cost(self, artifact: Artifact) -> Cost | None:
        """The sidecar of an artifact, if it was written whole."""
        content = self.backend.read_bytes(f"{artifact.path}/{COST_FILE}")
        try:
            return None if content is None else Cost.model_validate_json(content)
        except ValueError:
            return None

    def materialise(self, artifact: Artifact) -> list[Path]:
        """Local paths of all parts; remote parts are copied once to the scratch folder and verified."""
        return [self._local_copy(f"{artifact.path}/{part.name}", part) for part in self.manifest(artifact).parts]

    def _local_copy(self, name: str, part: Part) -> Path:
        """A part's local path; a remote part is copied under a name of its own first, since others may copy it too."""
        path = self.backend.local_path(name)
        if path is not None:
            return path
        path = self.scratch / "copies" / name
        if not path.exists() or file_digest(path) != part.sha256:
            temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
            self.backend.fetch(name, temporary)
            if file_digest(temporary) != part.sha256:
                temporary.unlink()
                raise DamagedArtifactError(f"{name} is damaged; run the step again")
            temporary.replace(path)
        return path

    def local_folder(self, artifact: Artifact) -> Path:
        """A local folder that holds a checkpoint's (or other folder artifact's) files under their own names."""
        first = self.manifest(artifact).parts[0].name
        depth = len(Path(first).parts) - 1  # files-<digest>/relative/name
        return self.materialise(artifact)[0].parents[depth - 1]

    def read(self, contract: type[Row], artifact: Artifact) -> pa.Table:
        """The artifact's table."""
        return contract.read_parts(self.materialise(artifact))

    def _receipt(self, contract: type[Row], key: str, shard: int) -> str:
        return f"{contract.contract_id()}/{key}/receipts/{shard:05d}.json"


def _handle(manifest: Manifest) -> Artifact:
    path = f"{manifest.contract}/{manifest.key}"
    return Artifact(contract=manifest.contract, path=path, digest=manifest.digest, rows=manifest.rows)


def _part(name: str, digest: str, size: int) -> Part:
    return Part(name=name, sha256=digest, bytes=size, rows=0)
