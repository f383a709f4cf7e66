"""Mine queries from a vanilla model (ALMoST section 2.1, Appendix C.1 and C.2).

A prompt shows 10 queries: 7 static seeds and 3 drawn from the queries mined so far (from the other seeds until there
are enough). Each generation is checked for shape, bad words, Rouge-L overlap with every query kept so far (dropped
when the maximum is *above* the limit; ties stay), and overlap with the evaluation sets. Rejected ones are kept with
their reason. Generations are stored round by round, so that a crash loses at most one round.

Departures: 1. a round's prompts share the queries known before the round, so that they form one batch; 2. seeds count
in the dedup (upstream does so, the paper is silent).
"""

import logging
import math
import re
from typing import Any

import numpy as np
import pyarrow as pa

from data_contracts.config.engine import EngineConfig
from data_contracts.config.mining import Mining
from data_contracts.errors import EmptyResultError
from data_contracts.handles import ModelHandle, PromptHandle
from data_contracts.store.artifact import Artifact
from data_contracts.tables.evaluation_texts import EvaluationText
from data_contracts.tables.mined_lines import MinedLine
from data_contracts.tables.queries import EARLIER_ID, SEED_ID, Query, QueryRejection, RejectedQuery
from data_contracts.tables.responses import FAILED
from models.engines.protocol import SamplingSettings, naming_rows
from models.prompts.few_shot_prompt import MINING_STOPS, SeedQueries, mining_prefix, mining_suffix, parse_seed_queries
from models.seeding import derive_seed
from models.text.overlap import OverlapIndex
from models.text.rouge_l_index import RougeLIndex
from tasks.feedback.evaluation_overlap import overlap_index
from tasks.feedback.mined_queries import MinedQueries
from tasks.runtime.context import ProgressReporter, count, current
from tasks.runtime.loaded_models import LazyEngine
from tasks.runtime.step import step

log = logging.getLogger("almost.mining")


@step(version="2")
def mine_queries(
    seeds: PromptHandle,
    miner: ModelHandle,
    evaluation_texts: Artifact[EvaluationText],
    mining: Mining,
    engine: EngineConfig,
    seed: int,
    earlier: Artifact[Query] | None = None,
) -> MinedQueries:
    """Mine `mining.queries` distinct queries; fewer, with a warning, when the attempts run out.

    None is as close to a query of the `earlier` pool as two of its own may be.

    Raises:
        EmptyResultError: not one query was kept.
    """
    seed_queries = parse_seed_queries(seeds.text, seeds.source)
    screen = QueryScreen(mining, seed_queries, overlap_index(read(EvaluationText, evaluation_texts), mining))
    if earlier is not None:
        screen.know(read(Query, earlier))
    lazy = LazyEngine(miner, engine)
    progress = ProgressReporter(mining.queries, "queries")
    parts, rounds = [], math.ceil(mining.queries * mining.max_attempts_per_query / mining.round_prompts)
    for number in range(rounds):
        part, lines = _round(number, screen, seed_queries, mining, lazy, seed)
        parts.append(part)
        for line in lines:
            if len(screen.kept) < mining.queries:
                screen.judge(line)
        progress.update(len(screen.kept), acceptance=len(screen.kept) / max(1, screen.judged))
        if len(screen.kept) >= mining.queries:
            break
    lazy.count_tokens()
    _require_queries(screen, mining)
    return MinedQueries(
        queries=write(Query, Query.from_rows(screen.kept)),
        rejected=write(RejectedQuery, RejectedQuery.from_rows(screen.rejected)),
        lines=write_parts(MinedLine, parts),
    )


class QueryScreen:
    """Judges mined lines one after the other and remembers what was kept."""

    def __init__(self, mining: Mining, seeds: SeedQueries, evaluation: OverlapIndex) -> None:
        self.mining = mining
        self.evaluation = evaluation
        self.index = RougeLIndex(mining.rouge_l, mining.drop_ties)
        self.bad_words = re.compile(rf"(?<!\w)({'|'.join(map(re.escape, mining.bad_words))})(?!\w)", re.IGNORECASE)
        self.kept: list[dict[str, Any]] = []
        self.rejected: list[dict[str, Any]] = []
        self.judged = 0
        if mining.seeds_in_dedup:
            for number, query in enumerate(seeds.queries):
                self.index.add(f"{SEED_ID}{number}", query)

    def know(self, earlier: pa.Table) -> None:
        """Count the queries of earlier pools in the dedup."""
        for query_id, query in zip(earlier["query_id"].to_pylist(), earlier["query"].to_pylist(), strict=True):
            self.index.add(f"{EARLIER_ID}{query_id}", query)

    def judge(self, line: dict[str, Any]) -> None:
        """Keep a line as a query, or record why not."""
        self.judged += 1
        text = line["line"].strip()
        nearest = None
        reason, evidence = self._cheap_reason(text, line)
        if reason is None:
            nearest = self.index.nearest(text)
            if nearest.is_duplicate:
                reason, evidence = QueryRejection.DUPLICATE, ""
        if reason is None:
            found = self.evaluation.find(text)
            if found.kind is not None:
                reason, evidence = QueryRejection.EVALUATION_OVERLAP, found.name or ""
        common = {
            "query": text,
            "attempt": line["attempt"],
            "seed": line["seed"],
            "nearest_query_id": nearest.query_id if nearest else None,
            "nearest_rouge_l": nearest.score if nearest and nearest.query_id else None,
        }
        if reason is not None:
            identity = {
                "rejection_id": f"r{line['attempt']:07d}",
                "rejected_because": reason.value,
                "evidence": evidence,
            }
            self.rejected.append(common | identity)
            return
        query_id = f"q{line['attempt']:07d}"
        self.kept.append(
            common
            | {"query_id": query_id, "decontamination_checked": len(self.evaluation) > 0, "evaluation_overlap": None}
        )
        self.index.add(query_id, text)

    def _cheap_reason(self, text: str, line: dict[str, Any]) -> tuple[QueryRejection | None, str]:
        if line["finish_reason"] == FAILED:
            return QueryRejection.FAILED, "the model server gave no completion; see the run's log"
        if not re.search(r"[^\W\d_]", text):
            return QueryRejection.MALFORMED, "no words"
        if line["finish_reason"] == "length":
            return QueryRejection.TOO_LONG, f"over {self.mining.max_new_tokens} tokens"
        found = self.bad_words.search(text) if self.mining.bad_words else None
        return (QueryRejection.BAD_WORD, found.group(0)) if found else (None, "")


def choose_shots(pool: list[tuple[str, str]], count_: int, seed: int) -> list[tuple[str, str]]:
    """Draw `count_` different (id, query) pairs from the pool, in drawn order."""
    drawn = np.random.default_rng(seed).permutation(len(pool))[:count_]
    return [pool[position] for position in drawn]


def _round(
    number: int, screen: QueryScreen, seeds: SeedQueries, mining: Mining, lazy: LazyEngine, seed: int
) -> tuple[Any, list[dict[str, Any]]]:
    """One round of generations, from the store if a previous run got this far."""
    store, key = active_store(), current().key
    part = store.find_shard(MinedLine, key, number)
    if part is None:
        table = MinedLine.from_rows(_generate(number, screen, seeds, mining, lazy, seed))
        part = store.write_shard(MinedLine, key, number, table)
        count(shards_computed=1)
        return part, table.to_pylist()
    count(shards_found=1)
    return part, store.read_shard(MinedLine, key, part).to_pylist()


def _generate(
    number: int, screen: QueryScreen, seeds: SeedQueries, mining: Mining, lazy: LazyEngine, seed: int
) -> list[dict[str, Any]]:
    static = list(seeds.queries[: mining.static_shots])
    pool = [(row["query_id"], row["query"]) for row in screen.kept]
    if len(pool) < mining.dynamic_shots:
        pool += [(f"{SEED_ID}{i}", q) for i, q in enumerate(seeds.queries) if i >= mining.static_shots]
    attempts = range(number * mining.round_prompts, (number + 1) * mining.round_prompts)
    shots = [choose_shots(pool, mining.dynamic_shots, derive_seed(seed, "shots", attempt)) for attempt in attempts]
    prefix = mining_prefix(seeds.instruction, static)
    suffixes = [mining_suffix([query for _, query in chosen]) for chosen in shots]
    row_seeds = [derive_seed(seed, "mining", attempt) for attempt in attempts]
    settings = SamplingSettings(mining.max_new_tokens, mining.temperature, mining.top_p, MINING_STOPS)
    engine = lazy.open()
    with naming_rows(
        [
            f"mining attempt {attempt}, shots {[name for name, _ in s]}"
            for attempt, s in zip(attempts, shots, strict=True)
        ]
    ):
        completions = engine.try_generate(prefix, suffixes, row_seeds, settings)
    return [
        {
            "line_id": f"l{attempt:07d}",
            "attempt": attempt,
            "seed": completion.seed,
            "shots": [identity for identity, _ in chosen],
            "line": completion.text,
            "tokens": completion.token_count,
            "finish_reason": completion.finish_reason.value,
        }
        for attempt, chosen, completion in zip(attempts, shots, completions, strict=True)
    ]


def _require_queries(screen: QueryScreen, mining: Mining) -> None:
    if not screen.kept:
        reasons = sorted({row["rejected_because"] for row in screen.rejected})
        raise EmptyResultError(
            f"mine_queries: none of {screen.judged:,} generations was kept ({', '.join(reasons)}); "
            f"look at the rejected queries, raise mining.rouge_l or change the seed queries"
        )
    if len(screen.kept) < mining.queries:
        log.warning(
            "mining stopped at %s of %s queries after %s generations (mining.max_attempts_per_query = %s)",
            len(screen.kept), mining.queries, screen.judged, mining.max_attempts_per_query,
        )  # fmt: skip
