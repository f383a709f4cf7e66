"""Rows of benchmark files: JSON, JSON lines (also .gz), CSV and Parquet, whatever a public copy comes as."""

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts.errors import ConfigError
from data_contracts.text_files import json_lines, open_text, reading

Row = tuple[str, dict[str, Any]]  # where it stands, for messages; its fields


def rows_of(field: str, path: Path) -> Iterator[Row]:
    """The rows of a file with named fields; a JSON file is a list of rows, or holds one under `examples` or `data`.

    Raises:
        ConfigError: the file is missing, cut off or of an unknown kind, holds no rows, or a row is no object.
    """
    empty = True
    for where, row in _raw_rows(field, path):
        empty = False
        if not isinstance(row, dict):
            raise ConfigError(f"{field}: {where} is {type(row).__name__}, not an object with named fields")
        yield where, row
    if empty:
        raise ConfigError(f"{field}: {path} holds no rows; copy the file again")


def _raw_rows(field: str, path: Path) -> Iterator[tuple[str, Any]]:
    if not path.is_file():
        raise ConfigError(f"{field}: file {path} does not exist; check the path")
    match Path(path.name.removesuffix(".gz")).suffix:
        case ".jsonl":
            for number, row in json_lines(path, field):
                yield f"{path} line {number}", row
        case ".json":
            with reading(path, field), open_text(path) as source:
                content = json.load(source)
            if isinstance(content, dict):
                content = content.get("examples", content.get("data"))
            if not isinstance(content, list):
                raise ConfigError(f"{field}: {path} is no list of rows")
            for number, row in enumerate(content, start=1):
                yield f"{path} row {number}", row
        case ".parquet":
            try:
                rows = pq.read_table(path).to_pylist()
            except (pa.ArrowInvalid, OSError) as error:
                raise ConfigError(f"{field}: cannot read {path}: {' '.join(str(error).split())}") from error
            for number, row in enumerate(rows, start=1):
                yield f"{path} row {number}", row
        case other:
            raise ConfigError(f"{field}: {path} ends in '{other}'; known: json, jsonl, parquet")


def csv_rows(field: str, path: Path, columns: int) -> list[list[str]]:
    """Rows of a CSV file without a header.

    Raises:
        ConfigError: the file cannot be read, is empty, or a row has another number of columns.
    """
    with reading(path, field), open_text(path) as source:
        rows = [row for row in csv.reader(source) if row]
    if not rows:
        raise ConfigError(f"{field}: {path} holds no rows; copy the file again")
    for number, row in enumerate(rows, start=1):
        if len(row) != columns:
            raise ConfigError(f"{field}: {path} row {number} has {len(row)} columns, expected {columns}")
    return rows


def require(field: str, row: Row, name: str, kind: type) -> Any:
    """A field of a row; ConfigError names the row when it is missing, of another kind or blank."""
    where, fields = row
    value = fields.get(name)
    if not isinstance(value, kind) or (isinstance(value, str) and not value.strip()):
        known = ", ".join(map(str, fields)) or "none"
        raise ConfigError(
            f"{field}: {where} has no {kind.__name__} '{name}' (it has: {known}); is it another benchmark?"
        )
    return value


def require_distinct(field: str, path: Path, ids: Sequence[str]) -> None:
    """Raise ConfigError when an id occurs twice."""
    seen: set[str] = set()
    for name in ids:
        if name in seen:
            raise ConfigError(f"{field}: id '{name}' occurs twice in {path}; ids must be distinct")
        seen.add(name)
