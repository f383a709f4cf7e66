"""Read community answers for the as-is reward model from a file (ALMoST section 2.1: StackExchange-paired)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from data_contracts.errors import ConfigError
from data_contracts.handles import FileHandle
from data_contracts.rows.rows import Rows, rows_of
from data_contracts.tables.community_answers import CommunityAnswer
from data_contracts.text_files import json_lines, reading
from tasks.runtime.phases import Phase
from tasks.runtime.step import step

FIELD = "as_is.pairs_file"
# Accepted names of the three columns: ours first, then those of StackExchange-paired.
COLUMNS = {
    "question": ("question", "prompt"),
    "chosen": ("chosen", "response_j"),
    "rejected": ("rejected", "response_k"),
}


@step(version="2", phase=Phase.COMPARISONS)
def load_community_answers(*, file: FileHandle) -> Rows[CommunityAnswer]:
    """Turn a JSONL or Parquet file with question, chosen and rejected answer into community answers."""
    path = Path(file.path)
    rows = [_row(path, number, row) for number, row in read_rows(path)]
    if not rows:
        raise ConfigError(f"{FIELD}: {path} has no rows")
    return rows_of(CommunityAnswer, rows)


def read_rows(path: Path) -> Iterator[tuple[int, Any]]:
    """Numbered rows of a JSONL file (by line; also .gz) or a Parquet file.

    Raises:
        ConfigError: another format, or a broken file or line.
    """
    ending = Path(path.name.removesuffix(".gz")).suffix
    if ending == ".jsonl":
        yield from json_lines(path, FIELD)
    elif ending == ".parquet":
        with reading(path, FIELD):
            rows = pq.read_table(path).to_pylist()
        yield from enumerate(rows, start=1)
    else:
        raise ConfigError(f"{FIELD}: {path} ends in '{ending}'; known: .jsonl, .parquet")


def _row(path: Path, number: int, row: Any) -> CommunityAnswer:
    if not isinstance(row, dict):
        raise ConfigError(f"{FIELD}: {path} row {number} is no object with question, chosen and rejected")
    found = {}
    for column, names in COLUMNS.items():
        name = next((name for name in names if isinstance(row.get(name), str)), None)
        if name is None or (not row[name].strip() and column == "question"):
            raise ConfigError(f"{FIELD}: {path} row {number} has no text '{column}'; found {sorted(row)}")
        found[column] = row[name]
    return CommunityAnswer(pair_id=f"c{number:06d}", chosen_votes=1, rejected_votes=0, **found)
