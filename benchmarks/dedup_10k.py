"""How much faster are 10,000 real queries deduplicated than by rouge_score, pair by pair?

Ours runs whole, three times. rouge_score runs on the first 1,000 queries and is extrapolated by the pairs that a run
over all queries compares; it then runs on the first 2,000, and every decision is compared. Its score is rounded to
nine decimals before it is compared with 0.5: at exact ties its floating-point value is at the mercy of rounding.
Needs the queries at $ALMOST_DATA/queries/queries_10k.txt.
"""

import os
from pathlib import Path
from typing import Any

from rouge_score import rouge_scorer

from benchmarks._measuring import interleaved, timed
from models.text.rouge_l_index import RougeLIndex

MEASURED, COMPARED = 1000, 2000


def measure(queries: int = 10_000, measured: int = MEASURED, compared: int = COMPARED) -> dict[str, Any]:
    """Seconds of both for all queries, and their ratio (CPU)."""
    lines = read_queries()[:queries]
    decisions, ours = interleaved({"ours": lambda _: by_index(lines)}, 3)
    kept = [decision for decision in decisions[0]["ours"] if decision]
    (_, pairs), peer = timed(lambda: by_rouge_score(lines[:measured]))
    assert by_rouge_score(lines[:compared])[0] == decisions[0]["ours"][:compared], "decisions differ from rouge_score's"
    all_pairs = pair_count(decisions[0]["ours"])
    cpu_s = peer.cpu_s * all_pairs / pairs
    return {
        "ratio": round(cpu_s / ours["ours"].cpu_s, 0),
        "cpu_s": round(ours["ours"].cpu_s, 2),
        "wall_s": round(ours["ours"].wall_s, 2),
        "peer_extrapolated_cpu_s": round(cpu_s, 0),
        "queries": len(lines),
        "kept": len(kept),
        "pairs": all_pairs,
        "compared": compared,
    }


def read_queries() -> list[str]:
    """The query file, one query a line."""
    path = Path(os.environ.get("ALMOST_DATA", "../shared/data")) / "queries" / "queries_10k.txt"
    if not path.is_file():
        raise SystemExit(f"dedup_10k needs {path}; set ALMOST_DATA to the folder that holds queries/")
    return [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def by_index(lines: list[str]) -> list[bool]:
    """Whether each line is kept: its Rouge-L with every kept line is at most 0.5."""
    index = RougeLIndex()
    kept = []
    for number, line in enumerate(lines):
        kept.append(not index.nearest(line).is_duplicate)
        if kept[-1]:
            index.add(str(number), line)
    return kept


def by_rouge_score(lines: list[str]) -> tuple[list[bool], int]:
    """The same by rouge_score's scorer, which compares with every kept line; and the number of pairs."""
    scorer = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False)
    kept_lines: list[str] = []
    kept, pairs = [], 0
    for line in lines:
        pairs += len(kept_lines)
        highest = max((scorer.score(other, line)["rougeL"].fmeasure for other in kept_lines), default=0.0)
        kept.append(round(highest, 9) <= 0.5)
        if kept[-1]:
            kept_lines.append(line)
    return kept, pairs


def pair_count(kept: list[bool]) -> int:
    """Pairs that a run without an index compares: every line with all kept before it."""
    pairs = before = 0
    for keep in kept:
        pairs += before
        before += keep
    return pairs
