"""The tables a run made, for those who show them: the terminal, the run page, the report."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from data_contracts.errors import AlmostError
from data_contracts.rows.arrow import compute as pc
from data_contracts.rows.row import Row
from data_contracts.rows.rows import Rows, joined, rows_of
from data_contracts.store.artifact import Artifact
from data_contracts.store.artifact_store import Store
from data_contracts.store.manifest import MANIFEST_FILE, Manifest
from data_contracts.store.stored import StoredRows
from tasks.runtime.run_record import StepRecord

R = TypeVar("R", bound=Row)


class RunTables:
    """The tables of a run's steps, by row class, read from the store when asked for."""

    def __init__(self, store: Store, steps: Iterable[StepRecord]) -> None:
        self._store = store
        self._step_of = {path: step.label for step in steps for path in step.artifacts}

    def rows(self, row: type[R]) -> Rows[R]:
        """All rows of a class that the run's steps made, in the order of the steps; no rows if none did."""
        return joined(row, [self.at(row, path) for path in self._of(row)])

    def last(self, row: type[R]) -> Rows[R]:
        """The last table of a row class: later steps add verdicts to earlier rows."""
        own = self._of(row)
        return self.at(row, own[-1]) if own else rows_of(row, [])

    def by_step(self, row: type[R]) -> list[tuple[str, Rows[R]]]:
        """Each step's label with its own table of a row class."""
        return [(self._step_of[path], self.at(row, path)) for path in self._of(row)]

    def at(self, row: type[R], path: str) -> Rows[R]:
        """The rows of one table.

        Raises:
            AlmostError: it is gone from the store.
        """
        return StoredRows(row, self._handle(path), self._store)

    def holding(self, row: type[Row], row_id: str) -> str | None:
        """The folder of the newest table of a class with a row of this id."""
        return next((path for path in reversed(self._of(row)) if self._holds(row, path, row_id)), None)

    def behind(self, path: str) -> "RunTables":
        """Only what an artifact was made from, and what was made together with any of it; the artifact included."""
        keys = {_key(ancestor) for ancestor, _, _ in self.ancestry(path)}
        found = RunTables(self._store, ())
        found._step_of = {path: step for path, step in self._step_of.items() if _key(path) in keys}
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

    def _own_folders(self) -> dict[str, str]:
        """Folders of this run by content."""
        return {str(self._handle(path).key_identity()): path for path in self._step_of if self._is_there(path)}

    def _is_there(self, path: str) -> bool:
        return self._store.backend.read_bytes(f"{path}/{MANIFEST_FILE}") is not None

    def _holds(self, row: type[Row], path: str, row_id: str) -> bool:
        return any(pc.any(pc.equal(t[row.key], row_id)).as_py() for t in self.at(row, path).columns(row.key))

    def _of(self, row: type[Row]) -> list[str]:
        return [path for path in self._step_of if path.split("/")[0] == row.contract_id()]

    def _handle(self, path: str) -> Artifact:
        manifest = self.manifest(path)
        return Artifact(contract=manifest.contract, path=path, digest=manifest.digest, rows=manifest.rows)


def _key(path: str) -> str:
    return path.split("/")[1]
