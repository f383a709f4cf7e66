"""What steps read and write by handle: rows and folders that lie in the store, and local folders on their way into it."""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, get_args

import numpy as np
import pandas as pd
import pyarrow as pa
from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from data_contracts.errors import ContractError
from data_contracts.folder_contracts import FolderContract
from data_contracts.rows.row import ROW_GROUP_ROWS, Row
from data_contracts.rows.rows import Rows, Sharded
from data_contracts.store.artifact import Artifact
from data_contracts.store.manifest import Part

R = TypeVar("R", bound=Row)
F = TypeVar("F", bound=FolderContract)


class Reader(Protocol):
    """What stored rows and folders ask of the store they lie in."""

    def materialise(self, artifact: Artifact) -> list[Path]:
        """Local paths of all parts."""
        ...

    def local_folder(self, artifact: Artifact) -> Path:
        """A local folder with the artifact's files."""
        ...

    def read_shard(self, contract: type[Row], key: str, part: Part) -> pa.Table:
        """The table of one stored part."""
        ...


class Stored:
    """Something in the store, known by its artifact: its content counts in keys, never its path."""

    artifact: Artifact

    def key_identity(self) -> Any:
        """Contract and content digest."""
        return self.artifact.key_identity()

    def to_json(self) -> dict[str, Any]:
        """The handle as it travels to a worker."""
        return self.artifact.model_dump(mode="json")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stored) and other.artifact == self.artifact

    def __hash__(self) -> int:
        return hash(self.artifact)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.artifact.path})"


class StoredRows(Stored, Rows[R]):
    """The rows of an artifact; each part is verified when the store finds it and read a row group at a time."""

    def __init__(self, row: type[R], artifact: Artifact, store: Reader) -> None:
        _require_contract(row, artifact)
        self.row, self.artifact, self._store = row, artifact, store

    @cached_property
    def paths(self) -> list[Path]:
        """Local paths of the parts, for jobs."""
        return self._store.materialise(self.artifact)

    def __iter__(self) -> Iterator[R]:
        return self.row.read_files(self.paths)

    def __len__(self) -> int:
        return self.artifact.rows

    def tables(self) -> Iterator[pa.Table]:
        for path in self.paths:
            with self.row.open_part(path) as part:
                for batch in part.iter_batches(batch_size=ROW_GROUP_ROWS):
                    yield self.row.conform(pa.Table.from_batches([batch]))
        if not self.artifact.rows:
            yield self.row.empty()

    def columns(self, *names: str) -> Iterator[pa.Table]:
        """As `tables`, only these columns; the others are not read."""
        schema = pa.schema([self.row.schema().field(name) for name in names])
        for path in self.paths:
            with self.row.open_part(path) as part:
                for batch in part.iter_batches(batch_size=ROW_GROUP_ROWS, columns=list(names)):
                    yield pa.Table.from_batches([batch]).select(list(names)).cast(schema)
        if not self.artifact.rows:
            yield schema.empty_table()


class StoredShards(Sharded[R]):
    """Shards of a step that is not finished: parts in the store, in order, without a manifest yet."""

    def __init__(self, row: type[R], key: str, parts: list[Part], store: Reader) -> None:
        self.row, self.parts = row, parts
        self._key, self._store = key, store

    def __iter__(self) -> Iterator[R]:
        for part in self.parts:
            yield from self.row.from_table(self._store.read_shard(self.row, self._key, part))

    def __len__(self) -> int:
        return sum(part.rows for part in self.parts)


class RepeatedKeys:
    """Keys that occur in more than one part of a table: each part's own are checked when it is written."""

    def __init__(self, row: type[Row]) -> None:
        self._row, self._seen = row, list[np.ndarray]()

    def add(self, table: pa.Table) -> None:
        """Take in the keys of the next part, eight bytes each."""
        self._seen.append(
            pd.util.hash_array(  # pyright: ignore[reportAttributeAccessIssue]
                table[self._row.key].to_numpy(zero_copy_only=False)
            )
        )

    def require_none(self) -> None:
        """Raise ContractError when a key stands in two parts."""
        seen = np.concatenate(self._seen)
        repeated = len(seen) - len(np.unique(seen)) if len(self._seen) > 1 else 0
        if repeated:
            raise ContractError(f"{self._row.contract_id()}: key '{self._row.key}' repeats in {repeated:,} rows")


class Folder(Generic[F]):
    """A folder of files under a contract `F`, e.g. a reward model: `Folder[RewardCheckpoint]`."""

    contract: type[F]

    def local(self) -> Path:
        """The folder on this machine."""
        raise NotImplementedError

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """A folder travels as the handle of its artifact; the validation context names the store it lies in."""
        arguments = get_args(source)

        def validate(value: Any, info: core_schema.ValidationInfo) -> Any:
            if isinstance(value, Folder):
                return value
            return (info.context or {})["stored"](arguments[0], value)

        return core_schema.with_info_plain_validator_function(
            validate, serialization=core_schema.plain_serializer_function_ser_schema(lambda folder: folder.to_json())
        )


class LocalFolder(Folder[F]):
    """A folder that a job or a test made; a step that returns it commits it."""

    def __init__(self, contract: type[F], path: Path) -> None:
        self.contract, self._path = contract, path

    def local(self) -> Path:
        return self._path


class StoredFolder(Stored, Folder[F]):
    """A folder in the store."""

    def __init__(self, contract: type[F], artifact: Artifact, store: Reader) -> None:
        _require_contract(contract, artifact)
        self.contract, self.artifact, self._store = contract, artifact, store

    def local(self) -> Path:
        return self._store.local_folder(self.artifact)


def _require_contract(contract: type[Row] | type[FolderContract], artifact: Artifact) -> None:
    if artifact.contract != contract.contract_id():
        raise ContractError(f"{artifact.path} is a {artifact.contract}, not a {contract.contract_id()}")
