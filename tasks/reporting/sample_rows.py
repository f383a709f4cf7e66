"""A few rows of each table, as a person wants to read them: what `almost show`, the run page and the report print."""

from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

from data_contracts.tables.comparisons import Comparison
from data_contracts.tables.demonstrations import Demonstration
from data_contracts.tables.evaluations import EvaluatedItem
from data_contracts.tables.queries import Query, RejectedQuery
from data_contracts.tables.responses import Response
from data_contracts.tables.rollouts import Rollout
from tasks.reporting.funnel import Tables
from tasks.reporting.plain_text import plain

QUERIES_SHOWN, REJECTED_SHOWN, ROLLOUTS_SHOWN = 6, 3, 2


def sample_queries(tables: Tables) -> list[str]:
    """The first queries, and why others were turned away."""
    kept, rejected = tables.read(Query).to_pylist(), tables.read(RejectedQuery).to_pylist()
    lines = [f"  {row['query_id']}: {plain(row['query'])}" for row in kept[:QUERIES_SHOWN]]
    if len(kept) > QUERIES_SHOWN:
        lines.append(f"  ... and {len(kept) - QUERIES_SHOWN:,} more")
    reasons = Counter(row["rejected_because"] for row in rejected)
    if reasons:
        lines.append("  turned away: " + ", ".join(f"{number:,} {reason}" for reason, number in reasons.most_common()))
    for row in rejected[:REJECTED_SHOWN]:
        lines.append(f"    {row['rejected_because']} ({plain(row['evidence'], 60)}): {plain(row['query'], 120)}")
    return lines


def sample_comparisons(tables: Tables) -> list[str]:
    """One query with every response and the verdict on every pair of them."""
    comparisons = tables.read_last(Comparison).to_pylist()
    responses = tables.read(Response).to_pylist()
    if not responses:
        return []
    query_id = _most_telling_query(comparisons) or responses[0]["query_id"]
    own = sorted((r for r in responses if r["query_id"] == query_id), key=lambda row: row["responder_rank"])
    lines = [f"  {query_id}: {plain(own[0]['query'])}"]
    for row in own:
        who = f"{row['responder']} ({plain(row['model'], 30)}, {row['shots']} shots {row['prompt_set']})"
        lines.append(f"    {who}: {plain(row['response'])}")
    for row in (c for c in comparisons if c["query_id"] == query_id):
        verdict = "kept" if row["kept"] else f"dropped: {row['dropped_because']} ({plain(row['evidence'] or '', 60)})"
        lines.append(f"    {row['chosen_responder']} over {row['rejected_responder']}: {verdict}")
    return lines


def sample_demonstration(tables: Tables) -> list[str]:
    """The last turn of one dialogue, with all candidates and their scores."""
    rows = tables.read(Demonstration).to_pylist()
    if not rows:
        return []
    row = max(rows, key=lambda r: r["turn"])  # the first of the longest
    lines = [f"  {row['demonstration_id']} ({row['split']})"]
    lines += [f"    {turn['role']}: {plain(turn['text'])}" for turn in row["context"]]
    for place, candidate in enumerate(row["candidates"]):
        mark = ">" if place == row["chosen_candidate"] else " "
        score = "no score" if candidate["score"] is None else f"{candidate['score']:+.3f}"
        lines.append(f"   {mark} {score}  {plain(candidate['text']) or '(empty)'}")
    return lines


def sample_rollouts(tables: Tables) -> list[str]:
    """Some rollouts of the first and of the last PPO step."""
    rows = tables.read(Rollout).to_pylist()
    steps = sorted({row["step"] for row in rows})
    lines = []
    for step in dict.fromkeys([*steps[:1], *steps[-1:]]):
        own = [row for row in rows if row["step"] == step]
        mean = sum(row["score"] for row in own) / len(own)
        lines.append(f"  step {step}: mean score {mean:+.3f} of {len(own)} rollouts")
        for row in own[:ROLLOUTS_SHOWN]:
            lines.append(f"    {plain(row['prompt'])}")
            lines.append(f"      score {row['score']:+.3f}, KL {row['kl']:+.2f}: {plain(row['response'])}")
    return lines


def sample_evaluations(tables: Tables) -> list[str]:
    """The mean of each evaluation, with its first item."""
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in tables.read(EvaluatedItem).to_pylist():
        groups[(row["benchmark"], row["subject"], row["metric"])].append(row)
    lines = []
    for (benchmark, subject, metric), everything in groups.items():
        rows = [row for row in everything if row["value"] is not None]
        skipped = f"; {len(everything) - len(rows):,} could not be asked" if len(rows) < len(everything) else ""
        if not rows:
            lines.append(f"  {plain(benchmark, 60)}, {plain(subject, 30)}: not measured{skipped}")
            continue
        mean = sum(row["value"] for row in rows) / len(rows)
        lines.append(f"  {plain(benchmark, 60)}, {plain(subject, 30)}: {metric} {mean:.3f} over {len(rows):,}{skipped}")
        first = rows[0]
        if first["output"]:
            lines.append(f"    {plain(first['prompt'], 100)} -> {plain(first['output'], 140)} ({first['value']:.2f})")
    return lines


def _most_telling_query(comparisons: list[dict[str, Any]]) -> str | None:
    """The first query with both kept and dropped pairs, else the first of all."""
    verdicts: dict[str, set[bool]] = defaultdict(set)
    for row in comparisons:
        verdicts[row["query_id"]].add(row["kept"])
    return next((query for query, seen in verdicts.items() if len(seen) == 2), next(iter(verdicts), None))


SAMPLES: tuple[tuple[str, Callable[[Tables], list[str]]], ...] = (
    ("Queries", sample_queries),
    ("One query, its responses and comparisons", sample_comparisons),
    ("One demonstration (> was chosen)", sample_demonstration),
    ("Rollouts", sample_rollouts),
    ("Evaluations", sample_evaluations),
)
