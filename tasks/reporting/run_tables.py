"""The tables a run made, for those who show them: the terminal, the run page, the report."""

from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa

from data_contracts.errors import AlmostError
from data_contracts.store.artifact import Artifact
from data_contracts.store.artifact_store import Store
from data_contracts.store.manifest import MANIFEST_FILE, Manifest
from data_contracts.tables.row import Row
from tasks.runtime.run_record import StageRecord


class RunTables:
    """The tables of a run's stages, by contract, read from the store when asked for."""

    def __init__(self, store: Store, stages: Iterable[StageRecord]) -> None:
        self._store = store
        self._stage_of = {path: stage.stage for stage in stages for path in stage.artifacts}
        self._tables: dict[str, pa.Table] = {}  # each is read and verified once

    def read(self, contract: type[Row]) -> pa.Table:
        """All rows of a contract that the run's stages made, in the order of the stages; no rows if none did."""
        tables = [self._read(contract, path) for path in self._of(contract)]
        return pa.concat_tables(tables) if tables else contract.empty()

    def read_last(self, contract: type[Row]) -> pa.Table:
        """Rows of the last table of a contract: later stages add verdicts to earlier rows."""
        own = self._of(contract)
        return self._read(contract, own[-1]) if own else contract.empty()

    def by_stage(self, contract: type[Row]) -> list[tuple[str, pa.Table]]:
        """Each stage's label with its own table of a contract."""
        return [(self._stage_of[path], self._read(contract, path)) for path in self._of(contract)]

    def holding(self, contract: type[Row], row_id: str) -> str | None:
        """The folder of the newest table of a contract with a row of this id."""
        return next((path for path in reversed(self._of(contract)) if row_id in self._ids(contract, path)), None)

    def behind(self, path: str) -> "RunTables":
        """Only what an artifact was made from, and what was made together with any of it; the artifact included."""
        keys = {_key(ancestor) for ancestor, _, _ in self.ancestry(path)}
        found = RunTables(self._store, ())
        found._stage_of = {path: stage for path, stage in self._stage_of.items() if _key(path) in keys}
        found._tables = self._tables
        return found

    def ancestry(self, path: str) -> Iterator[tuple[str, str, list[str]]]:
        """An artifact and everything it was made from: folder, step, and the names of its inputs; each once.

        A manifest knows its inputs by content. An input that was made again with other settings, but came out the same,
        lies in another folder than the manifest says: this run's own goes first. What is gone is left out.
        """
        ahead, seen, own = [path], set[str](), self._own_folders()
        while ahead:
            path = ahead.pop(0)
            if path in seen:
                continue
            seen.add(path)
            provenance = self.manifest(path).provenance
            yield path, provenance.step, list(dict.fromkeys(parent.argument for parent in provenance.parents))
            made_from = [own.get(parent.identity, parent.path) for parent in provenance.parents]
            ahead += [parent for parent in made_from if parent and self._is_there(parent)]

    def manifest(self, path: str) -> Manifest:
        """Manifest of an artifact.

        Raises:
            AlmostError: it is gone from the store.
        """
        content = self._store.backend.read_bytes(f"{path}/{MANIFEST_FILE}")
        if content is None:
            raise AlmostError(f"{self._store.url}/{path} is gone; the same almost run command makes it again")
        return Manifest.model_validate_json(content)

    def rows(self, contract: type[Row], path: str) -> list[dict[str, Any]]:
        """The rows of one table."""
        return self._read(contract, path).to_pylist()

    def _own_folders(self) -> dict[str, str]:
        """Folders of this run by content."""
        return {str(self._handle(path).key_identity()): path for path in self._stage_of if self._is_there(path)}

    def _is_there(self, path: str) -> bool:
        return self._store.backend.read_bytes(f"{path}/{MANIFEST_FILE}") is not None

    def _ids(self, contract: type[Row], path: str) -> list[str]:
        return self._read(contract, path)[contract.key].to_pylist()

    def _of(self, contract: type[Row]) -> list[str]:
        return [path for path in self._stage_of if path.split("/")[0] == contract.contract_id()]

    def _read(self, contract: type[Row], path: str) -> pa.Table:
        if path not in self._tables:
            self._tables[path] = self._store.read(contract, self._handle(path))
        return self._tables[path]

    def _handle(self, path: str) -> Artifact:
        manifest = self.manifest(path)
        return Artifact(contract=manifest.contract, path=path, digest=manifest.digest, rows=manifest.rows)


def _key(path: str) -> str:
    return path.split("/")[1]
