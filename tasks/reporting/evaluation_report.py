"""What an evaluation leaves beside its tables of rows: tables for people, on the run page and in the run's folder."""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict

from prefect.artifacts import create_markdown_artifact
from prefect.exceptions import MissingContextError
from prefect.runtime import flow_run

from data_contracts.rows.rows import Rows, joined
from data_contracts.store.artifact_store import Store
from data_contracts.tables.evaluations import EvaluatedItem
from models.evaluation.paper_tables import PaperTable, paper_tables
from models.evaluation.statistics.aggregates import Aggregate, aggregate
from tasks.reporting.run_summary import RUNS, SUMMARY, RunSummary

TABLES, TABLES_AS_DATA = "tables.md", "tables.json"
INTRODUCTION = "Percentages with their interval of 95%. Rows that begin with `paper` are the published figures.\n\n"


def aggregates_of(tables: Sequence[Rows[EvaluatedItem]]) -> list[Aggregate]:
    """Every figure of some tables of rows."""
    return aggregate(joined(EvaluatedItem, tables))


def tables_in_markdown(tables: Sequence[PaperTable]) -> str:
    """The tables as one document."""
    return INTRODUCTION + "\n\n".join(table.markdown() for table in tables)


def publish_tables(aggregates: Sequence[Aggregate], more: Sequence[PaperTable] = ()) -> list[PaperTable]:
    """Put the tables on the run page, if there is one; nothing where nothing was measured."""
    tables = [*paper_tables(aggregates), *more]
    if tables and flow_run.id is not None:
        with suppress(MissingContextError):
            create_markdown_artifact(
                key="almost-evaluation", markdown=tables_in_markdown(tables), description="Tables beside the paper's"
            )
    return tables


def write_evaluation(
    store: Store, summary: RunSummary, tables: Sequence[PaperTable], pages: Sequence[str] = ()
) -> None:
    """summary.json, tables.md and tables.json of an evaluation, `pages` (reward-model cards) behind the tables; it does not become `runs/latest`, which is about whole runs."""
    content = json.dumps(summary.model_dump(mode="json"), indent=1, ensure_ascii=False)
    store.backend.put_bytes(f"{RUNS}/{summary.run_id}/{SUMMARY}", content.encode())
    told = "\n\n".join([tables_in_markdown(tables), *pages])
    store.backend.put_bytes(f"{RUNS}/{summary.run_id}/{TABLES}", told.encode())
    data = json.dumps([asdict(table) for table in tables], ensure_ascii=False)
    store.backend.put_bytes(f"{RUNS}/{summary.run_id}/{TABLES_AS_DATA}", data.encode())


def read_tables(store: Store, run_id: str) -> list[PaperTable]:
    """The tables of an evaluation, as it published them."""
    data = json.loads(store.backend.read_bytes(f"{RUNS}/{run_id}/{TABLES_AS_DATA}") or b"[]")
    return [
        PaperTable(table["title"], tuple(table["columns"]), tuple(tuple(row) for row in table["rows"]))
        for table in data
    ]
