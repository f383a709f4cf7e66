"""How much memory and time do the steps over growing tables take that need no model? 100,000 queries, five answers of
about 200 words each: a million comparisons.

Each step runs in a process of its own, so that its peak of resident memory is its own: pairing, filtering, the pairs a
reward model reads, and deduplication of the queries by Rouge-L. The counts are asserted. `ALMOST_BENCH_QUERIES` sets
another number of queries.
"""

import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from data_contracts.config.filter import HeuristicFilter
from data_contracts.config.ranking import Ranking
from data_contracts.finish_reason import FinishReason
from data_contracts.rows.row import Row
from data_contracts.rows.rows import Rows, stream
from data_contracts.store.artifact import Artifact
from data_contracts.store.artifact_store import Store
from data_contracts.store.manifest import Provenance
from data_contracts.store.stored import StoredRows
from data_contracts.tables.comparisons import Comparison
from data_contracts.tables.responses import Response
from models.reward.preference_pairs import pairs_of_comparisons
from models.text.rouge_l_index import RougeLIndex
from tasks.feedback.filter_comparisons import filter_comparisons
from tasks.feedback.rank_comparisons import rank_comparisons

QUERIES = int(os.environ.get("ALMOST_BENCH_QUERIES", "100000"))
LIMIT_GIB = 1.5
RESPONDERS = "ABCDE"
MADE = Provenance(step="benchmark", step_version="1", code="none")
_WORDS = [f"word{number}" for number in range(2000)]


def measure() -> dict[str, Any]:
    """Pairs or queries per CPU second and peak GiB of each step; asserts counts and the limit of memory."""
    figures: dict[str, Any] = {"queries": QUERIES}
    with tempfile.TemporaryDirectory() as home:
        for step in STEPS:
            command = [sys.executable, "-m", "benchmarks.synthetic_comparisons", step, home]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise RuntimeError(f"{step} ended with {done.returncode}:\n{done.stderr[-4000:]}")
            found = json.loads(done.stdout.splitlines()[-1])
            assert found["peak_gib"] < LIMIT_GIB, f"{step} took {found['peak_gib']} GiB"
            if step != "respond":
                figures |= {f"{step}_per_cpu_s": found["rate"], f"{step}_peak_gib": found["peak_gib"]}
    return figures


def respond(store: Store) -> int:
    """Write five tables of synthetic responses; what they say is drawn from 500 texts per responder."""
    for rank, name in enumerate(RESPONDERS, start=1):
        _keep(store, f"responses-{name}", stream(Response, lambda rank=rank, name=name: _responses(rank, name)))
    return QUERIES


def _responses(rank: int, name: str) -> Iterator[Response]:
    rng = random.Random(rank)
    texts = [" ".join(rng.choices(_WORDS, k=rng.randrange(150, 250))) for _ in range(500)]
    for number in range(QUERIES):
        yield Response(
            response_id=f"q{number:07d}-{name}", query_id=f"q{number:07d}", query=f"What is number {number}?",
            responder=name, responder_rank=rank, model="large", prompt_set="hhh", shots=1,
            response=f"{number} {rng.choice(texts)}", prompt_tokens=9, tokens=200, finish_reason=FinishReason.STOP,
            logprob=-1.0, seed=number,
        )  # fmt: skip


def rank(store: Store) -> int:
    """Pair the responses of each query."""
    tables = [_stored(store, Response, f"responses-{name}") for name in RESPONDERS]
    ranked = _keep(store, "ranked", rank_comparisons.fn(responses=tables))
    assert len(ranked) == 10 * QUERIES
    return len(ranked)


def judge(store: Store) -> int:
    """Give every pair the heuristic filter's verdicts."""
    ranked = _stored(store, Comparison, "ranked")
    judged = filter_comparisons.fn(comparisons=ranked, heuristics=HeuristicFilter(), ranking=Ranking())
    filtered = _keep(store, "filtered", judged)
    assert len(filtered) == 10 * QUERIES
    return len(filtered)


def pairs(store: Store) -> int:
    """Write the pairs that a reward model's job reads."""
    filtered = _stored(store, Comparison, "filtered")
    made = _keep(store, "pairs", pairs_of_comparisons(filtered, heldout_share=0.1, seed=1))
    assert 5 * QUERIES < len(made) <= 10 * QUERIES
    return len(filtered)


def dedup(store: Store) -> int:
    """Keep queries whose Rouge-L overlap with every query kept before is at most a half."""
    rng, index, kept = random.Random(7), RougeLIndex(0.5, False), 0
    for number in range(QUERIES):
        text = " ".join(rng.choices(_WORDS, k=rng.randrange(6, 16)))
        if not index.nearest(text).is_duplicate:
            index.add(str(number), text)
            kept += 1
    assert kept > 0.99 * QUERIES, "random words hardly overlap"
    return QUERIES


STEPS: dict[str, Callable[[Store], int]] = {
    "respond": respond, "rank": rank, "filter": judge, "pairs": pairs, "dedup": dedup,
}  # fmt: skip


def _keep(store: Store, name: str, rows: Rows[Any]) -> StoredRows[Any]:
    kept = store.commit_rows(name, rows, MADE)
    (store.scratch / f"{name}.json").write_text(kept.artifact.model_dump_json())
    return kept


def _stored(store: Store, row: type[Row], name: str) -> StoredRows[Any]:
    return StoredRows(row, Artifact.model_validate_json((store.scratch / f"{name}.json").read_text()), store)


def main(step: str, home: str) -> None:
    """Run one step in this process and print its figures."""
    store, started = Store(str(Path(home) / "home")), time.process_time()
    done = STEPS[step](store)
    rate = done / (time.process_time() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({"rate": round(rate), "peak_gib": round(peak, 2)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
