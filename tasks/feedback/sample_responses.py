"""Responses of one prompted vanilla model to the mined queries (ALMoST section 2.1).

One call per responder. The queries are cut into shards of `sampling.shard_rows`; a finished shard survives any crash,
and what is in a batch follows from the shard alone.
"""

from typing import Any

from data_contracts.config.engine import EngineConfig
from data_contracts.config.responders import Responder
from data_contracts.config.sampling import Sampling
from data_contracts.conversation import Role, Turn
from data_contracts.handles import ModelHandle, PromptHandle
from data_contracts.store.artifact import Artifact
from data_contracts.tables.queries import Query
from data_contracts.tables.responses import Response
from models.engines.protocol import Completion, SamplingSettings, naming_rows
from models.prompts.few_shot_prompt import ASSISTANT_STOPS, assistant_suffix, parse_prompt_set
from models.seeding import derive_seed
from tasks.runtime.context import ProgressReporter, current
from tasks.runtime.loaded_models import LazyEngine
from tasks.runtime.shards import shard_ranges, write_missing_shards
from tasks.runtime.step import step


@step(version="1", run_name="{responder.name}")
def sample_responses(
    queries: Artifact[Query],
    responder: Responder,
    rank: int,
    model: ModelHandle,
    prompts: PromptHandle,
    sampling: Sampling,
    engine: EngineConfig,
    seed: int,
) -> Artifact[Response]:
    """Answer every query with one responder: a ladder model, a prompt set and a number of shots."""
    rows = read(Query, queries).select(["query_id", "query"]).to_pylist()
    prompt_set = parse_prompt_set(prompts.name, prompts.text, prompts.source)
    prefix = prompt_set.prefix(responder.shots)
    shown = f"responder {responder.name} ({model.name}, {prompt_set.name} with {responder.shots} shots)"
    lazy = LazyEngine(model, engine)
    settings = SamplingSettings(sampling.max_new_tokens, sampling.temperature, sampling.top_p, ASSISTANT_STOPS)
    progress = ProgressReporter(len(rows), "responses")

    def answer(shard: int) -> list[dict[str, Any]]:
        start, stop = ranges[shard]
        chunk = rows[start:stop]
        suffixes = [assistant_suffix([Turn(Role.HUMAN, row["query"])]) for row in chunk]
        seeds = [derive_seed(seed, "response", responder.name, row["query_id"]) for row in chunk]
        with naming_rows([f"{shown}, query {row['query_id']}" for row in chunk]):
            completions = lazy.open().try_generate(prefix, suffixes, seeds, settings)
        return [_row(row, responder, rank, model, c) for row, c in zip(chunk, completions, strict=True)]

    ranges = shard_ranges(len(rows), sampling.shard_rows)
    parts = write_missing_shards(
        Response, current().key, len(ranges), answer, lambda shard: progress.update(ranges[shard][1])
    )
    lazy.count_tokens()
    return write_parts(Response, parts)


def _row(query: dict[str, Any], responder: Responder, rank: int, model: ModelHandle, c: Completion) -> dict[str, Any]:
    return {
        "response_id": f"{query['query_id']}-{responder.name}",
        "query_id": query["query_id"],
        "query": query["query"],
        "responder": responder.name,
        "responder_rank": rank,
        "model": model.name,
        "prompt_set": responder.prompt,
        "shots": responder.shots,
        "response": c.text,
        "prompt_tokens": c.prompt_tokens,
        "tokens": c.token_count,
        "finish_reason": c.finish_reason.value,
        "logprob": c.logprob,
        "seed": c.seed,
    }
