"""Open and read text files that a person gave, gzipped or not; whatever is wrong with one is a ConfigError."""

import csv
import gzip
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from data_contracts.errors import ConfigError


def open_text(path: Path) -> IO[str]:
    """Open `path` for reading as UTF-8, with or without a byte-order mark; a name that ends in .gz is decompressed."""
    if path.suffix == ".gz":
        return cast(IO[str], gzip.open(path, "rt", encoding="utf-8-sig"))
    return path.open(encoding="utf-8-sig")


@contextmanager
def reading(path: Path, field: str) -> Iterator[None]:
    """Turn whatever goes wrong while a file is read into a ConfigError that names the field and the file."""
    try:
        yield
    except (OSError, EOFError, zlib.error, csv.Error, ValueError) as error:
        raise ConfigError(f"{field}: cannot read {path}: {' '.join(str(error).split())}") from error


def json_lines(path: Path, field: str) -> Iterator[tuple[int, Any]]:
    """(line number, value) of each line that is not blank.

    Raises:
        ConfigError: the file cannot be read, or a line is not JSON.
    """
    with reading(path, field), open_text(path) as source:
        for number, line in enumerate(source, start=1):
            if not line.strip():
                continue
            try:
                value = json.loads(line)
            except ValueError as error:
                raise ConfigError(f"{field}: {path} line {number} is not JSON: {error}") from error
            yield number, value
