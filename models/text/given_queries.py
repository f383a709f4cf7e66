"""Queries that a person brings in place of mined ones: one a line, or a column of rows."""

from collections.abc import Iterator
from pathlib import Path

from data_contracts.errors import ConfigError
from data_contracts.text_files import open_text, reading
from models.evaluation.benchmarks.benchmark_files import rows_of

FIELD = "use.queries"
COLUMNS = ("query", "question", "instruction", "prompt")
INSTRUCTION = "###"  # begins the first line of a seed file, which is no query


def read_given_queries(path: Path) -> Iterator[str]:
    """The texts of a .txt file by line (blank ones left out), or of .json, .jsonl and .parquet rows by column.

    Raises:
        ConfigError: another kind of file, a row without any of `COLUMNS`, or nothing in it.
    """
    found = False
    for text in _lines(path) if _is_text(path) else _column(path):
        if text.strip():
            found = True
            yield text.strip()
    if not found:
        raise ConfigError(f"{FIELD}: {path} holds no query")


def _is_text(path: Path) -> bool:
    return Path(path.name.removesuffix(".gz")).suffix == ".txt"


def _lines(path: Path) -> Iterator[str]:
    with reading(path, FIELD), open_text(path) as source:
        for number, line in enumerate(source):
            if number or not line.startswith(INSTRUCTION):
                yield line


def _column(path: Path) -> Iterator[str]:
    for where, row in rows_of(FIELD, path):
        name = next((name for name in COLUMNS if isinstance(row.get(name), str)), None)
        if name is None:
            raise ConfigError(f"{FIELD}: {where} has no text in any of {', '.join(COLUMNS)}; found {sorted(row)}")
        yield row[name]
