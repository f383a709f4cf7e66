"""A few rows of each table, as a person wants to read them: what `almost show`, the run page and the report print."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

from data_contracts.rows.rows import Rows
from data_contracts.tables.comparisons import Comparison
from data_contracts.tables.demonstrations import Candidate, Demonstration
from data_contracts.tables.evaluations import EvaluatedItem
from data_contracts.tables.queries import Query, RejectedQuery
from data_contracts.tables.responses import Response
from data_contracts.tables.rollouts import Rollout
from tasks.reporting.column_figures import counts, mean, rows_where
from tasks.reporting.funnel import Tables
from tasks.reporting.metric_titles import shown_metric
from tasks.reporting.plain_text import plain
from tasks.reporting.words import DROPS, REJECTIONS, reasons_in_words

QUERIES_SHOWN, REJECTED_SHOWN, ROLLOUTS_SHOWN = 6, 3, 2


def sample_queries(tables: Tables) -> list[str]:
    """The first queries, and why others were turned away."""
    kept, rejected = tables.rows(Query), tables.rows(RejectedQuery)
    lines = [f"  {row.query_id}: {plain(row.query)}" for row in islice(kept, QUERIES_SHOWN)]
    if len(kept) > QUERIES_SHOWN:
        lines.append(f"  ... and {len(kept) - QUERIES_SHOWN:,} more")
    reasons = counts(rejected, "rejected_because")
    if reasons:
        lines.append(f"  turned away: {reasons_in_words(reasons, REJECTIONS)}")
    for row in islice(rejected, REJECTED_SHOWN):
        reason = with_evidence(REJECTIONS[row.rejected_because], row.evidence, 60)
        lines.append(f"    {reason}: {plain(row.query, 120)}")
    return lines


def sample_comparisons(tables: Tables) -> list[str]:
    """One query with every response and the verdict on every pair of them."""
    comparisons, responses = tables.last(Comparison), tables.rows(Response)
    query_id = _most_telling_query(comparisons) or next((row.query_id for row in responses), None)
    if query_id is None:
        return []
    own = sorted(rows_where(responses, "query_id", query_id), key=lambda row: row.responder_rank)
    lines = [f"  {query_id}: {plain(own[0].query)}"]
    for row in own:
        who = f"{row.responder} ({plain(row.model, 30)}, {row.shots} shots {row.prompt_set})"
        lines.append(f"    {who}: {plain(row.response)}")
    for row in rows_where(comparisons, "query_id", query_id):
        lines.append(f"    {row.chosen_responder} over {row.rejected_responder}: {verdict_on(row, 60)}")
    return lines


def verdict_on(comparison: Comparison, evidence_chars: int) -> str:
    """Whether a comparison was kept, or why not and on what evidence."""
    if comparison.dropped_because is None:
        return "kept"
    return f"dropped: {with_evidence(DROPS[comparison.dropped_because], comparison.evidence, evidence_chars)}"


def with_evidence(reason: str, evidence: str | None, limit: int) -> str:
    """A reason and, in parentheses, the evidence, cut at `limit` characters."""
    return f"{reason} ({plain(evidence, limit)})" if evidence else reason


def sample_demonstration(tables: Tables) -> list[str]:
    """The last turn of one dialogue, with all candidates and their scores."""
    rows = tables.rows(Demonstration)
    row = max(rows, key=lambda row: row.turn, default=None)  # the first of the longest
    if row is None:
        return []
    lines = [f"  {row.demonstration_id} ({row.split})"]
    lines += [f"    {turn.role}: {plain(turn.text)}" for turn in row.context]
    for place, candidate in enumerate(row.candidates):
        mark = ">" if place == row.chosen_candidate else " "
        lines.append(f"   {mark} {score_of(candidate)}  {plain(candidate.text) or '(empty)'}")
    return lines


def score_of(candidate: Candidate) -> str:
    """The score of a self-play candidate."""
    return "no score" if candidate.score is None else f"{candidate.score:+.3f}"


def sample_rollouts(tables: Tables) -> list[str]:
    """Some rollouts of the first and of the last training step."""
    rows = tables.rows(Rollout)
    steps = sorted(counts(rows, "step").items())
    lines = []
    for step, number in dict([*steps[:1], *steps[-1:]]).items():
        score = mean(rows, "score", "step", step, step)
        lines.append(f"  step {step}: mean score {score:+.3f} of {number} rollouts")
        for row in rows_where(rows, "step", step)[:ROLLOUTS_SHOWN]:
            lines.append(f"    {plain(row.prompt)}")
            lines.append(f"      score {row.score:+.3f}, KL {row.kl:+.2f}: {plain(row.response)}")
    return lines


@dataclass
class _Evaluated:
    """The rows of one benchmark and subject so far."""

    total: float = 0.0
    asked: int = 0
    skipped: int = 0
    first: EvaluatedItem | None = None

    def add(self, row: EvaluatedItem) -> None:
        if row.value is None:
            self.skipped += 1
            return
        self.total, self.asked, self.first = self.total + row.value, self.asked + 1, self.first or row


def sample_evaluations(tables: Tables) -> list[str]:
    """The mean of each evaluation, with its first item."""
    groups: dict[tuple[str, str], _Evaluated] = {}
    for row in tables.rows(EvaluatedItem):
        groups.setdefault((row.benchmark, row.subject), _Evaluated()).add(row)
    lines = []
    for (benchmark, subject), found in groups.items():
        metric = shown_metric(f"{benchmark}.{subject}")
        skipped = f"; {found.skipped:,} could not be asked" if found.skipped else ""
        if found.first is None or found.first.value is None:
            lines.append(f"  {plain(metric.title, 100)}: not measured{skipped}")
            continue
        shown = metric.value(found.total / found.asked)
        lines.append(f"  {plain(metric.title, 100)}: {shown}, mean over {found.asked:,} rows{skipped}")
        if found.first.output:
            example = f"{plain(found.first.prompt, 100)} -> {plain(found.first.output, 140)}"
            lines.append(f"    {example} ({metric.value(found.first.value)})")
    return lines


def _most_telling_query(comparisons: Rows[Comparison]) -> str | None:
    """The first query with both kept and dropped pairs, else the first of all."""
    verdicts: dict[str, set[bool]] = {}
    for table in comparisons.columns("query_id", "kept"):
        for entry in table.group_by(["query_id", "kept"], use_threads=False).aggregate([]).to_pylist():
            seen = verdicts.setdefault(entry["query_id"], set())
            seen.add(entry["kept"])
            if len(seen) == 2:
                return entry["query_id"]
    return next(iter(verdicts), None)


SAMPLES: tuple[tuple[str, Callable[[Tables], list[str]]], ...] = (
    ("Queries", sample_queries),
    ("One query, its responses and comparisons", sample_comparisons),
    ("One demonstration (> was chosen)", sample_demonstration),
    ("Rollouts", sample_rollouts),
    ("Evaluations", sample_evaluations),
)
