"""report.html of a run: funnel, metrics, training curves, tables beside the paper's, samples, steps, configuration.

One file without scripts or anything from elsewhere. Texts of models are untrusted: every one is escaped.
"""

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

import yaml

from data_contracts.store.artifact_store import Store
from data_contracts.tables.evaluations import EvaluatedItem
from data_contracts.tables.training_log import TrainingLogEntry
from models.evaluation.paper_tables import PaperTable, paper_tables
from models.evaluation.statistics.aggregates import aggregate
from tasks.reporting.cards import CARDS, write_cards
from tasks.reporting.funnel import funnel
from tasks.reporting.metric_rows import COLUMNS, metric_rows
from tasks.reporting.run_summary import RUNS, RunSummary
from tasks.reporting.run_tables import RunTables
from tasks.reporting.sample_rows import SAMPLES
from tasks.reporting.training_curves import curves

REPORT = "report.html"
MINIATURE = "Numbers of the tiny world: a miniature, not a result about real language models."
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 2rem auto; padding: 0 1rem;
       color: #1c2330; background: #fff }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2.2rem; border-bottom: 1px solid #ccd3dd }
table { border-collapse: collapse; margin: .6rem 0 } td, th { padding: .2rem .8rem .2rem 0; text-align: left;
       vertical-align: top; border-bottom: 1px solid #e5e9ef } .n { text-align: right; white-space: nowrap }
pre { background: #f4f6f9; padding: .8rem; white-space: pre-wrap; overflow-wrap: anywhere; font-size: 13px }
figure { display: inline-block; margin: .4rem 1.2rem .4rem 0 } figcaption { font-size: 12px; color: #5b6675 }
svg { background: #f4f6f9 } polyline { fill: none; stroke: #2b6cb0; stroke-width: 1.5 }
.note { background: #fff6dd; padding: .4rem .8rem }
@media (prefers-color-scheme: dark) { body { background: #14171c; color: #dfe5ee } pre, svg { background: #1e232b }
  td, th { border-color: #2a313b } .note { background: #3a3118 } a { color: #7db3f0 } }
"""


def write_report(store: Store, summary: RunSummary, tables: RunTables) -> str:
    """Write the report and the cards it links to beside summary.json; the report's path in the store."""
    cards = write_cards(store, summary, tables)
    path = f"{RUNS}/{summary.run_id}/{REPORT}"
    store.backend.put_bytes(path, report_html(summary, tables, cards).encode())
    return path


def report_html(summary: RunSummary, tables: RunTables, cards: Sequence[str] = ()) -> str:
    """The whole page; `cards` are paths in the store."""
    parts = [_heading(summary)]
    steps = [(row.what, f"{row.rows:,}", row.share(), row.left_out) for row in funnel(tables)]
    parts.append(_section("Funnel", _table(("", "rows", "share kept", "left out"), steps, numbers=(1, 2))))
    metrics = [row.cells() for row in metric_rows(summary.metrics)]
    parts.append(_section("Metrics", _table(COLUMNS, metrics, numbers=(1, 2, 3))))
    for label, log in tables.by_step(TrainingLogEntry):
        parts.append(_section(f"Training: {label}", curves(log)))
    for table in paper_tables(aggregate(tables.rows(EvaluatedItem))):
        parts.append(_section(table.title, _paper_table(table)))
    for title, sample in SAMPLES:
        parts.append(_section(title, _lines(sample(tables))))
    parts.append(_section("Cards", _cards(cards)))
    parts += [_section("Steps", _steps(summary)), _section("Configuration", _configuration(summary))]
    page = "\n".join(part for part in parts if part)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>ALMoST run {escape(summary.run_id)}</title>'
        f"<style>{_STYLE}</style><body>{page}</body></html>"
    )


def _heading(summary: RunSummary) -> str:
    seeds = ", ".join(f"{name} {value}" for name, value in summary.seeds.items())
    said = f"profile {summary.profile}; seeds: {seeds}; started {summary.started_at}, took {summary.wall_s:.0f} s"
    heading = f"<h1>Run {escape(summary.run_id)}: {escape(summary.status)}</h1>"
    message = f"<p>{escape(summary.message)}</p>" if summary.message else ""
    note = f'<p class="note">{MINIATURE}</p>' if summary.config.get("world") else ""
    return f"{heading}{message}<p>{escape(said)}<br>store {escape(summary.home)}</p>{note}"


def _section(title: str, content: str) -> str:
    return f"<h2>{escape(title)}</h2>{content}" if content else ""


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[int] = ()) -> str:
    def cells(row: Sequence[str], tag: str) -> str:
        marks = [' class="n"' if place in numbers else "" for place in range(len(row))]
        return "".join(f"<{tag}{mark}>{escape(cell)}</{tag}>" for mark, cell in zip(marks, row, strict=True))

    body = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows)
    return f"<table><tr>{cells(columns, 'th')}</tr>{body}</table>" if body else ""


def _paper_table(table: PaperTable) -> str:
    return _table(("", *table.columns), table.rows, numbers=range(1, len(table.columns) + 1))


def _cards(paths: Sequence[str]) -> str:
    links = (f'<li><a href="{CARDS}/{escape(Path(path).name)}">{escape(Path(path).stem)}</a></li>' for path in paths)
    return f"<ul>{''.join(links)}</ul>" if paths else ""


def _steps(summary: RunSummary) -> str:
    rows = "".join(
        f"<tr><td>{escape(step.label)}</td><td>{escape(step.tables())}</td>"
        f'<td class="n">{"found in the store" if step.cached else f"{step.working_s:.1f} s"}</td>'
        f'<td><a href="../../{escape(step.artifact)}/">{escape(step.artifact)}</a></td></tr>'
        for step in summary.steps
    )
    heading = '<tr><th>step</th><th>rows</th><th class="n">working time</th><th>files</th></tr>'
    return f"<table>{heading}{rows}</table>" if rows else ""


def _configuration(summary: RunSummary) -> str:
    return f"<pre>{escape(yaml.safe_dump(summary.config, sort_keys=False, allow_unicode=True))}</pre>"


def _lines(lines: Sequence[str]) -> str:
    return f"<pre>{escape(chr(10).join(lines))}</pre>" if lines else ""
