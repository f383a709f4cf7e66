"""Where one row of a run came from: its query, the answers to it, the verdicts and scores, and what was trained on it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from data_contracts.rows.rows import Rows
from data_contracts.tables.comparisons import Comparison
from data_contracts.tables.demonstrations import Demonstration
from data_contracts.tables.queries import Query, RejectedQuery
from data_contracts.tables.responses import Response
from data_contracts.tables.reward_scores import RewardScore
from data_contracts.tables.rollouts import Rollout
from tasks.reporting.column_figures import rows_where
from tasks.reporting.plain_text import plain
from tasks.reporting.run_tables import RunTables
from tasks.reporting.sample_rows import score_of, verdict_on, with_evidence
from tasks.reporting.words import FILTERS, REJECTIONS, VERDICTS

Traced = Query | RejectedQuery | Response | Comparison | Demonstration | Rollout
TRACED: tuple[type[Traced], ...] = (Query, RejectedQuery, Response, Comparison, Demonstration, Rollout)


@dataclass(frozen=True)
class Found:
    """A row, and the folder of the table it stands in."""

    path: str
    row: Traced


def find_row(tables: RunTables, row_id: str) -> Found | None:
    """The row with this id, of the newest table that has it; ids of different tables differ."""
    for kind in TRACED:
        path = tables.holding(kind, row_id)
        if path is not None:
            return Found(path, rows_where(tables.at(kind, path), kind.key, row_id)[0])
    return None


def describe_lineage(tables: RunTables, found: Found) -> list[str]:
    """Lines for people: the query first, then every earlier row that this one rests on, and the row itself marked >."""
    if isinstance(found.row, RejectedQuery):
        return [f"> {line}" for line in _rejected(found.row)]
    behind, lines = tables.behind(found.path), []
    for kind in TRACED[: TRACED.index(type(found.row)) + 1]:
        if kind is RejectedQuery:
            continue
        rows: Rows[Any] = behind.last(kind) if kind is Comparison else behind.rows(kind)
        for row in rows_where(rows, "query_id", found.row.query_id):
            if not _rests_on(found.row, row):
                continue
            first, *rest = _described(tables, row)
            lines += [f"{'>' if _same(row, found.row) else ' '} {first}", *(f"      {line}" for line in rest)]
    return lines


def _same(row: Traced, other: Traced) -> bool:
    return type(row) is type(other) and getattr(row, row.key) == getattr(other, row.key)


def _rests_on(found: Traced, row: Traced) -> bool:
    """Whether `row` of an earlier or the same table is among what the row that was found was made from."""
    match found, row:
        case Demonstration(), Demonstration():
            return row.turn <= found.turn
        case Comparison(), Response():
            return row.response_id in (found.chosen_response_id, found.rejected_response_id)
        case Rollout(), Demonstration():
            return row.demonstration_id == found.prompt_id
        case _:
            return type(row) is not type(found) or _same(row, found)


def _described(tables: RunTables, row: Traced) -> Iterator[str]:
    match row:
        case Query():
            return _query(row)
        case RejectedQuery():
            return _rejected(row)
        case Response():
            return _response(row)
        case Comparison():
            return _comparison(tables, row)
        case Demonstration():
            return _demonstration(row)
        case Rollout():
            return _rollout(row)


def _query(row: Query) -> Iterator[str]:
    near = f", nearest {row.nearest_query_id} at {row.nearest_rouge_l:.2f}" if row.nearest_query_id else ""
    yield f"query {row.query_id} (attempt {row.attempt}, seed {row.seed}{near}): {plain(row.query)}"


def _rejected(row: RejectedQuery) -> Iterator[str]:
    reason = with_evidence(REJECTIONS[row.rejected_because], row.evidence, 80)
    yield f"query {row.rejection_id} was turned away: {reason}"
    yield f"  {plain(row.query)}"
    if row.nearest_query_id:
        yield f"  nearest {row.nearest_query_id}, Rouge-L {row.nearest_rouge_l:.2f}"


def _response(row: Response) -> Iterator[str]:
    how = f"{row.responder}, rank {row.responder_rank}: {plain(row.model, 60)}, {row.shots} shots"
    yield f"response {row.response_id} ({how} {row.prompt_set}, seed {row.seed}): {plain(row.response)}"


def _comparison(tables: RunTables, row: Comparison) -> Iterator[str]:
    pair = f"{row.chosen_responder} over {row.rejected_responder}"
    yield f"comparison {row.comparison_id}, {pair}: {verdict_on(row, 80)}"
    yield ", ".join(f"{who} {VERDICTS[getattr(row, column)]}" for column, who in FILTERS.items())
    if row.as_is_margin is not None:
        yield f"margin of the as-is reward model {row.as_is_margin:+.3f}"
    for step, scores in tables.by_step(RewardScore):
        for score in rows_where(scores, "pair_id", row.comparison_id):
            both = f"{score.chosen_score:+.3f} over {score.rejected_score:+.3f}"
            yield f"scores by {step}: {both} ({score.split})"


def _demonstration(row: Demonstration) -> Iterator[str]:
    use = row.split if row.usable else f"{row.split}, not usable"
    yield f"demonstration {row.demonstration_id}, turn {row.turn} ({use})"
    for turn in row.context:
        yield f"{turn.role}: {plain(turn.text)}"
    for place, candidate in enumerate(row.candidates):
        chosen = "chosen" if place == row.chosen_candidate else "not chosen"
        yield f"{score_of(candidate)}, {chosen}: {plain(candidate.text) or '(empty)'}"


def _rollout(row: Rollout) -> Iterator[str]:
    yield f"rollout {row.rollout_id}, training step {row.step}, prompt {row.prompt_id} ({row.split})"
    yield f"{plain(row.prompt)}"
    yield f"score {row.score:+.3f}, KL {row.kl:+.2f}, reward {row.reward:+.3f}: {plain(row.response)}"
