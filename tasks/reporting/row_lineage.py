"""Where one row of a run came from: its query, the answers to it, the verdicts and scores, and what was trained on it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from data_contracts.tables.comparisons import Comparison
from data_contracts.tables.demonstrations import Demonstration
from data_contracts.tables.queries import Query, RejectedQuery
from data_contracts.tables.responses import Response
from data_contracts.tables.reward_scores import RewardScore
from data_contracts.tables.rollouts import Rollout
from data_contracts.tables.row import Row
from tasks.reporting.plain_text import plain
from tasks.reporting.run_tables import RunTables

TRACED: tuple[type[Row], ...] = (Query, RejectedQuery, Response, Comparison, Demonstration, Rollout)


@dataclass(frozen=True)
class Found:
    """A row, the table it stands in, and that table's folder."""

    contract: type[Row]
    path: str
    row: dict[str, Any]


def find_row(tables: RunTables, row_id: str) -> Found | None:
    """The row with this id, of the newest table that has it; ids of different contracts differ."""
    for contract in TRACED:
        path = tables.holding(contract, row_id)
        if path is not None:
            row = next(row for row in tables.rows(contract, path) if row[contract.key] == row_id)
            return Found(contract, path, row)
    return None


def describe_lineage(tables: RunTables, found: Found) -> list[str]:
    """Lines for people: the query first, then every earlier row that this one rests on, and the row itself marked >."""
    if found.contract is RejectedQuery:
        return [f"> {line}" for line in _rejected(found.row)]
    behind, lines = tables.behind(found.path), []
    for contract in TRACED[: TRACED.index(found.contract) + 1]:
        for row in _rows(behind, contract):
            if row.get("query_id") != found.row["query_id"] or not _rests_on(found, contract, row):
                continue
            own = row.get(found.contract.key) == found.row[found.contract.key]
            first, *rest = _DESCRIBED[contract](tables, row)
            lines += [f"{'>' if own else ' '} {first}", *(f"      {line}" for line in rest)]
    return lines


def _rests_on(found: Found, contract: type[Row], row: dict[str, Any]) -> bool:
    """Whether `row` of an earlier or the same table is among what the row that was found was made from."""
    if contract is found.contract:
        earlier_turn = contract is Demonstration and row["turn"] <= found.row["turn"]
        return earlier_turn or row[contract.key] == found.row[contract.key]
    if found.contract is Comparison and contract is Response:
        return row["response_id"] in (found.row["chosen_response_id"], found.row["rejected_response_id"])
    if found.contract is Rollout and contract is Demonstration:
        return row["demonstration_id"] == found.row["prompt_id"]
    return True


def _rows(tables: RunTables, contract: type[Row]) -> list[dict[str, Any]]:
    read = tables.read_last if contract is Comparison else tables.read
    return read(contract).to_pylist()


def _query(_tables: RunTables, row: dict[str, Any]) -> Iterator[str]:
    near = f", nearest {row['nearest_query_id']} at {row['nearest_rouge_l']:.2f}" if row["nearest_query_id"] else ""
    yield f"query {row['query_id']} (attempt {row['attempt']}, seed {row['seed']}{near}): {plain(row['query'])}"


def _rejected(row: dict[str, Any]) -> Iterator[str]:
    yield f"query {row['rejection_id']} was turned away: {row['rejected_because']} ({plain(row['evidence'], 80)})"
    yield f"  {plain(row['query'])}"
    if row["nearest_query_id"]:
        yield f"  nearest {row['nearest_query_id']}, Rouge-L {row['nearest_rouge_l']:.2f}"


def _response(_tables: RunTables, row: dict[str, Any]) -> Iterator[str]:
    how = f"{row['responder']}, rank {row['responder_rank']}: {plain(row['model'], 60)}, {row['shots']} shots"
    yield f"response {row['response_id']} ({how} {row['prompt_set']}, seed {row['seed']}): {plain(row['response'])}"


def _comparison(tables: RunTables, row: dict[str, Any]) -> Iterator[str]:
    verdict = "kept" if row["kept"] else f"dropped: {row['dropped_because']} ({plain(row['evidence'] or '', 80)})"
    yield f"comparison {row['comparison_id']}, {row['chosen_responder']} over {row['rejected_responder']}: {verdict}"
    names = [name for name in row if name.startswith("verdict_")]
    yield ", ".join(f"{name.removeprefix('verdict_')}: {row[name]}" for name in names)
    if row["as_is_margin"] is not None:
        yield f"margin of the as-is reward model {row['as_is_margin']:+.3f}"
    for stage, scores in tables.by_stage(RewardScore):
        for score in scores.to_pylist():
            if score["pair_id"] == row["comparison_id"]:
                both = f"{score['chosen_score']:+.3f} over {score['rejected_score']:+.3f}"
                yield f"scores by {stage}: {both} ({score['split']})"


def _demonstration(_tables: RunTables, row: dict[str, Any]) -> Iterator[str]:
    use = row["split"] if row["usable"] else f"{row['split']}, not usable"
    yield f"demonstration {row['demonstration_id']}, turn {row['turn']} ({use})"
    for turn in row["context"]:
        yield f"{turn['role']}: {plain(turn['text'])}"
    for place, candidate in enumerate(row["candidates"]):
        score = "no score" if candidate["score"] is None else f"{candidate['score']:+.3f}"
        chosen = "chosen" if place == row["chosen_candidate"] else "not chosen"
        yield f"{score}, {chosen}: {plain(candidate['text']) or '(empty)'}"


def _rollout(_tables: RunTables, row: dict[str, Any]) -> Iterator[str]:
    yield f"rollout {row['rollout_id']}, PPO step {row['step']}, prompt {row['prompt_id']} ({row['split']})"
    yield f"{plain(row['prompt'])}"
    yield f"score {row['score']:+.3f}, KL {row['kl']:+.2f}, reward {row['reward']:+.3f}: {plain(row['response'])}"


_DESCRIBED = {
    Query: _query,
    Response: _response,
    Comparison: _comparison,
    Demonstration: _demonstration,
    Rollout: _rollout,
}
