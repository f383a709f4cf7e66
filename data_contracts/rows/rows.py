"""Rows[R]: a table of rows of one class, read as often as one likes, a bounded number of rows in memory at a time.

A step takes and returns `Rows`. In a test they are lists (`rows_of`); inside a run they lie in the store
(`data_contracts/store/stored_rows.py`); on the way out of a step they may be a generator (`stream`), Parquet files that a job
wrote (`file_rows`). `Sharded` in a step's signature says that the step computes and stores its rows shard by shard.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any, Generic, TypeVar, get_args

import pyarrow as pa
from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from data_contracts.rows.row import Row

R = TypeVar("R", bound=Row)
PART_ROWS = 20_000


class Rows(Generic[R]):
    """Rows of class `row`; `tables()` gives the same as Arrow tables of at most `PART_ROWS` rows."""

    row: type[R]

    def __iter__(self) -> Iterator[R]:
        raise NotImplementedError

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def tables(self) -> Iterator[pa.Table]:
        """Checked Arrow tables, one after the other; one empty table when there are no rows."""
        rows, empty = iter(self), True
        while chunk := list(islice(rows, PART_ROWS)):
            table = self.row.to_table(chunk)
            del chunk  # else two parts' rows live while the next one is made
            yield table
            empty = False
        if empty:
            yield self.row.empty()

    def table(self) -> pa.Table:
        """All rows as one Arrow table, for figures over whole columns."""
        return pa.concat_tables(self.tables())

    def columns(self, *names: str) -> Iterator[pa.Table]:
        """As `tables`, only these columns."""
        return (table.select(list(names)) for table in self.tables())

    def column(self, name: str) -> list[Any]:
        """One column's values, for whole tables; enums as their text."""
        return [value for table in self.columns(name) for value in table[name].to_pylist()]

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Rows travel as the handle of their artifact; the validation context names the store they lie in."""
        arguments = get_args(source)

        def validate(value: Any, info: core_schema.ValidationInfo) -> Any:
            if isinstance(value, Rows):
                return value
            return (info.context or {})["stored"](arguments[0], value)

        return core_schema.with_info_plain_validator_function(
            validate, serialization=core_schema.plain_serializer_function_ser_schema(lambda rows: rows.to_json())
        )


class ListedRows(Rows[R]):
    """Rows in memory."""

    def __init__(self, row: type[R], rows: Sequence[R]) -> None:
        self.row, self._rows = row, rows

    def __iter__(self) -> Iterator[R]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


class StreamedRows(Rows[R]):
    """Rows that are made while they are read, anew each time."""

    def __init__(self, row: type[R], make: Callable[[], Iterable[R]]) -> None:
        self.row, self._make = row, make

    def __iter__(self) -> Iterator[R]:
        return iter(self._make())


class JoinedRows(Rows[R]):
    """Several tables of one row class, one behind the other."""

    def __init__(self, row: type[R], joined: Sequence[Rows[R]]) -> None:
        self.row, self._joined = row, joined

    def __iter__(self) -> Iterator[R]:
        return chain.from_iterable(self._joined)

    def __len__(self) -> int:
        return sum(len(rows) for rows in self._joined)

    def tables(self) -> Iterator[pa.Table]:
        yield self.row.empty()
        for rows in self._joined:
            yield from rows.tables()

    def columns(self, *names: str) -> Iterator[pa.Table]:
        yield self.row.empty().select(list(names))
        for rows in self._joined:
            yield from rows.columns(*names)


class FileRows(Rows[R]):
    """Rows in Parquet files that a job wrote."""

    def __init__(self, row: type[R], paths: Sequence[Path]) -> None:
        self.row, self.paths = row, tuple(paths)

    def __iter__(self) -> Iterator[R]:
        return self.row.read_files(self.paths)

    def __len__(self) -> int:
        rows = 0
        for path in self.paths:
            with self.row.open_part(path) as part:
                rows += part.metadata.num_rows
        return rows


class Sharded(Rows[R]):
    """Rows that were computed shard by shard: after a crash only the missing shards are computed again."""

    def __init__(self, row: type[R], shards: Sequence[Sequence[R]]) -> None:
        self.row, self._shards = row, shards

    def __iter__(self) -> Iterator[R]:
        for shard in self._shards:
            yield from shard

    def __len__(self) -> int:
        return sum(len(shard) for shard in self._shards)


def rows_of(row: type[R], rows: Iterable[R]) -> Rows[R]:
    """Rows in memory, as tests and small steps have them."""
    return ListedRows(row, list(rows))


def joined(row: type[R], tables: Sequence[Rows[R]]) -> Rows[R]:
    """The rows of several tables, in the given order; none if there are no tables."""
    return JoinedRows(row, tables)


def stream(row: type[R], make: Callable[[], Iterable[R]]) -> Rows[R]:
    """Rows that `make()` yields when they are read: memory does not grow with their number."""
    return StreamedRows(row, make)


def file_rows(row: type[R], paths: Sequence[Path]) -> Rows[R]:
    """Rows of Parquet files, in the given order."""
    return FileRows(row, paths)


def shard_ranges(rows: int, shard_rows: int) -> list[range]:
    """The row numbers of each shard; at least one shard, so that an empty table is a table too."""
    return [range(start, min(start + shard_rows, rows)) for start in range(0, rows, shard_rows)] or [range(0)]
