"""Rows in the store: single columns are read alone, and several tables read as one."""

from pathlib import Path

import pyarrow as pa
import pytest

from data_contracts.rows.rows import Rows, joined, rows_of
from data_contracts.store.artifact_store import Store
from data_contracts.store.manifest import Provenance
from data_contracts.tables.evaluation_texts import EvaluationText
from data_contracts.tables.training_log import TrainingLogEntry

MADE = Provenance(step="test", step_version="1", code="none")


def entry(number: int) -> TrainingLogEntry:
    return TrainingLogEntry(log_id=f"{number}:loss", step=number, metric="loss", value=number / 2)


@pytest.fixture(params=["in memory", "in the store"])
def rows(request: pytest.FixtureRequest, tmp_path: Path) -> Rows[TrainingLogEntry]:
    made = rows_of(TrainingLogEntry, [entry(number) for number in range(3)])
    return made if request.param == "in memory" else Store(str(tmp_path)).commit_rows("k" * 32, made, MADE)


def test_columns_come_in_the_order_asked_for_with_their_types(rows: Rows[TrainingLogEntry]):
    (table,) = rows.columns("value", "log_id")
    assert table.schema == pa.schema([TrainingLogEntry.schema().field(name) for name in ("value", "log_id")])
    assert table["value"].to_pylist() == [0.0, 0.5, 1.0]
    assert rows.column("step") == [0, 1, 2]


def test_a_table_without_rows_has_its_columns(tmp_path: Path):
    empty = Store(str(tmp_path)).commit_rows("k" * 32, rows_of(TrainingLogEntry, []), MADE)
    assert [table.column_names for table in empty.columns("metric")][-1] == ["metric"]
    assert empty.column("metric") == []


def test_joined_tables_read_as_one(rows: Rows[TrainingLogEntry]):
    both = joined(TrainingLogEntry, [rows, rows_of(TrainingLogEntry, [entry(7)])])
    assert [row.step for row in both] == both.column("step") == [0, 1, 2, 7]
    assert len(both) == both.table().num_rows == 4


def test_no_tables_join_to_no_rows():
    nothing = joined(EvaluationText, [])
    assert (list(nothing), len(nothing), nothing.column("text")) == ([], 0, [])
    assert nothing.table().schema == EvaluationText.schema()
