"""Read community answers for the as-is reward model from a file (ALMoST section 2.1: StackExchange-paired)."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from data_contracts.artifact import Artifact
from data_contracts.community_answers import CommunityAnswers
from data_contracts.errors import ConfigError
from data_contracts.model_handle import FileHandle
from tasks.step import step
from tasks.step_context import write

# Accepted names of the three columns: ours first, then those of StackExchange-paired.
COLUMNS = {
    "question": ("question", "prompt"),
    "chosen": ("chosen", "response_j"),
    "rejected": ("rejected", "response_k"),
}


@step(version="1")
def load_community_answers(file: FileHandle) -> Artifact[CommunityAnswers]:
    """Turn a JSONL or Parquet file with question, chosen and rejected answer into community answers."""
    path = Path(file.path)
    rows = [_row(path, number, row) for number, row in enumerate(read_rows(path))]
    if not rows:
        raise ConfigError(f"as_is.pairs_file: {path} has no rows")
    return write(CommunityAnswers, CommunityAnswers.from_rows(rows))


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Rows of a JSONL or Parquet file.

    Raises:
        ConfigError: another format, or a broken line (named by number).
    """
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    if path.suffix != ".jsonl":
        raise ConfigError(f"as_is.pairs_file: {path} ends in '{path.suffix}'; known: .jsonl, .parquet")
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if line.strip():
            try:
                rows.append(json.loads(line))
            except ValueError as error:
                raise ConfigError(f"as_is.pairs_file: {path} line {number} is not JSON: {error}") from error
    return rows


def _row(path: Path, number: int, row: dict[str, Any]) -> dict[str, Any]:
    found = {}
    for column, names in COLUMNS.items():
        name = next((name for name in names if isinstance(row.get(name), str)), None)
        if name is None:
            raise ConfigError(f"as_is.pairs_file: {path} row {number} has no text '{column}'; found {sorted(row)}")
        found[column] = row[name]
    return {"pair_id": f"c{number:06d}", "chosen_votes": 1, "rejected_votes": 0, **found}
