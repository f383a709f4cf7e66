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
from dataclasses import dataclass
from typing import Any

import numpy as np

from data_contracts.config.engine import EngineConfig
from data_contracts.config.mining import Mining
from data_contracts.errors import EmptyResultError
from data_contracts.finish_reason import FinishReason
from data_contracts.handles import ModelHandle, PromptHandle
from data_contracts.rows.rows import Rows, rows_of
from data_contracts.tables.evaluation_texts import EvaluationText
from data_contracts.tables.mined_lines import MinedLine
from data_contracts.tables.queries import EARLIER_ID, SEED_ID, Query, QueryRejection, RejectedQuery
from models.engines.protocol import SamplingSettings, naming_rows
from models.prompts.few_shot_prompt import MINING_STOPS, SeedQueries, mining_prefix, mining_suffix, parse_seed_queries
from models.seeding import derive_seed
from models.text.overlap import OverlapIndex
from models.text.rouge_l_index import RougeLIndex
from tasks.feedback.evaluation_overlap import overlap_index
from tasks.feedback.mined_queries import MinedQueries
from tasks.runtime.context import ProgressReporter
from tasks.runtime.loaded_models import LazyEngine
from tasks.runtime.phases import Phase
from tasks.runtime.shards import Shards
from tasks.runtime.step import step

log = logging.getLogger("almost.mining")


@step(version="3", phase=Phase.QUERIES, heavy=True)
def mine_queries(
    *,
    seeds: PromptHandle,
    miner: ModelHandle,
    evaluation_texts: Rows[EvaluationText],
    mining: Mining,
    engine: EngineConfig,
    seed: int,
    earlier: Rows[Query] | None = None,
) -> MinedQueries:
    """Mine `mining.queries` distinct queries; fewer, with a warning, when the attempts run out.

    None is as close to a query of the `earlier` pool as two of its own may be.

    Raises:
        EmptyResultError: not one query was kept.
    """
    seed_queries = parse_seed_queries(seeds.text, seeds.source)
    screen = QueryScreen(mining, seed_queries, overlap_index(evaluation_texts, mining))
    if earlier is not None:
        screen.know(earlier)
    generator = LineGenerator(LazyEngine(miner, engine), seed_queries, mining, seed)
    progress, lines = ProgressReporter(mining.queries, "queries"), Shards(MinedLine)
    for number in range(math.ceil(mining.queries * mining.max_attempts_per_query / mining.round_prompts)):
        for line in lines.rows(lambda number=number: generator.lines(number, screen.kept)):
            if len(screen.kept) < mining.queries:
                screen.judge(line)
        progress.update(len(screen.kept), acceptance=len(screen.kept) / max(1, screen.judged))
        if len(screen.kept) >= mining.queries:
            break
    generator.lazy.count_tokens()
    _require_queries(screen, mining)
    return MinedQueries(
        queries=rows_of(Query, screen.kept), rejected=rows_of(RejectedQuery, screen.rejected), lines=lines.finished()
    )


class QueryScreen:
    """Judges mined lines one after the other and remembers what was kept."""

    def __init__(self, mining: Mining, seeds: SeedQueries, evaluation: OverlapIndex) -> None:
        self.mining = mining
        self.evaluation = evaluation
        self.index = RougeLIndex(mining.rouge_l, mining.drop_ties)
        self.bad_words = re.compile(rf"(?<!\w)({'|'.join(map(re.escape, mining.bad_words))})(?!\w)", re.IGNORECASE)
        self.kept: list[Query] = []
        self.rejected: list[RejectedQuery] = []
        self.judged = 0
        if mining.seeds_in_dedup:
            for number, query in enumerate(seeds.queries):
                self.index.add(f"{SEED_ID}{number}", query)

    def know(self, earlier: Rows[Query]) -> None:
        """Count the queries of earlier pools in the dedup."""
        for query in earlier:
            self.index.add(f"{EARLIER_ID}{query.query_id}", query.query)

    def judge(self, line: MinedLine) -> None:
        """Keep a line as a query, or record why not."""
        self.judged += 1
        text = line.line.strip()
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
        common: dict[str, Any] = {
            "query": text,
            "attempt": line.attempt,
            "seed": line.seed,
            "nearest_query_id": nearest.query_id if nearest else None,
            "nearest_rouge_l": nearest.score if nearest and nearest.query_id else None,
        }
        if reason is not None:
            rejection_id = f"r{line.attempt:07d}"
            self.rejected.append(
                RejectedQuery(rejection_id=rejection_id, rejected_because=reason, evidence=evidence, **common)
            )
            return
        query_id, checked = f"q{line.attempt:07d}", len(self.evaluation) > 0
        self.kept.append(Query(query_id=query_id, decontamination_checked=checked, evaluation_overlap=None, **common))
        self.index.add(query_id, text)

    def _cheap_reason(self, text: str, line: MinedLine) -> tuple[QueryRejection | None, str]:
        if line.finish_reason is FinishReason.FAILED:
            return QueryRejection.FAILED, "the model server gave no completion; see the run's log"
        if not re.search(r"[^\W\d_]", text):
            return QueryRejection.MALFORMED, "no words"
        if line.finish_reason is FinishReason.LENGTH:
            return QueryRejection.TOO_LONG, f"over {self.mining.max_new_tokens} tokens"
        found = self.bad_words.search(text) if self.mining.bad_words else None
        return (QueryRejection.BAD_WORD, found.group(0)) if found else (None, "")


def choose_shots(pool: list[tuple[str, str]], count_: int, seed: int) -> list[tuple[str, str]]:
    """Draw `count_` different (id, query) pairs from the pool, in drawn order."""
    drawn = np.random.default_rng(seed).permutation(len(pool))[:count_]
    return [pool[position] for position in drawn]


@dataclass(frozen=True)
class LineGenerator:
    """Lets the miner write lines, a round of prompts at a time."""

    lazy: LazyEngine
    seeds: SeedQueries
    mining: Mining
    seed: int

    def lines(self, number: int, known: list[Query]) -> list[MinedLine]:
        """The lines of round `number`; its prompts show queries `known` before the round."""
        mining, static = self.mining, list(self.seeds.queries[: self.mining.static_shots])
        pool = [(query.query_id, query.query) for query in known]
        if len(pool) < mining.dynamic_shots:
            pool += [(f"{SEED_ID}{i}", q) for i, q in enumerate(self.seeds.queries) if i >= mining.static_shots]
        attempts = range(number * mining.round_prompts, (number + 1) * mining.round_prompts)
        shots = [choose_shots(pool, mining.dynamic_shots, derive_seed(self.seed, "shots", at)) for at in attempts]
        settings = SamplingSettings(mining.max_new_tokens, mining.temperature, mining.top_p, MINING_STOPS)
        names = [
            f"mining attempt {attempt}, shots {[name for name, _ in chosen]}"
            for attempt, chosen in zip(attempts, shots, strict=True)
        ]
        engine = self.lazy.open()
        with naming_rows(names):
            completions = engine.try_generate(
                mining_prefix(self.seeds.instruction, static),
                [mining_suffix([query for _, query in chosen]) for chosen in shots],
                [derive_seed(self.seed, "mining", attempt) for attempt in attempts],
                settings,
            )
        return [
            MinedLine(
                line_id=f"l{attempt:07d}",
                attempt=attempt,
                seed=completion.seed,
                shots=tuple(identity for identity, _ in chosen),
                line=completion.text,
                tokens=completion.token_count,
                finish_reason=completion.finish_reason,
            )
            for attempt, chosen, completion in zip(attempts, shots, completions, strict=True)
        ]


def _require_queries(screen: QueryScreen, mining: Mining) -> None:
    if not screen.kept:
        reasons = sorted({row.rejected_because for row in screen.rejected})
        raise EmptyResultError(
            f"mine_queries: none of {screen.judged:,} generations was kept ({', '.join(reasons)}); "
            f"look at the rejected queries, raise mining.rouge_l or change the seed queries"
        )
    if len(screen.kept) < mining.queries:
        log.warning(
            "mining stopped at %s of %s queries after %s generations (mining.max_attempts_per_query = %s)",
            len(screen.kept), mining.queries, screen.judged, mining.max_attempts_per_query,
        )  # fmt: skip
