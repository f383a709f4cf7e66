"""Responses of one prompted vanilla model to the mined queries (ALMoST section 2.1).

One call per responder. The queries are cut into shards of `sampling.shard_rows`; a finished shard survives any crash,
and what is in a batch follows from the shard alone.
"""

from collections.abc import Sequence

from data_contracts.config.engine import EngineConfig
from data_contracts.config.responders import Responder
from data_contracts.config.sampling import Sampling
from data_contracts.conversation import Role, Turn
from data_contracts.handles import ModelHandle, PromptHandle
from data_contracts.rows.rows import Rows, Sharded, shard_ranges
from data_contracts.tables.queries import Query
from data_contracts.tables.responses import Response
from models.engines.protocol import Completion, SamplingSettings, naming_rows
from models.prompts.few_shot_prompt import ASSISTANT_STOPS, assistant_suffix, parse_prompt_set
from models.seeding import derive_seed
from tasks.runtime.context import ProgressReporter
from tasks.runtime.loaded_models import LazyEngine
from tasks.runtime.phases import Phase
from tasks.runtime.shards import compute_shards
from tasks.runtime.step import step


@step(version="2", phase=Phase.RESPONSES, heavy=True, run_name="{responder.name}")
def sample_responses(
    *,
    queries: Rows[Query],
    responder: Responder,
    rank: int,
    model: ModelHandle,
    prompts: PromptHandle,
    sampling: Sampling,
    engine: EngineConfig,
    seed: int,
) -> Sharded[Response]:
    """Answer every query with one responder: a ladder model, a prompt set and a number of shots."""
    asked = list(zip(queries.column("query_id"), queries.column("query"), strict=True))
    prompt_set = parse_prompt_set(prompts.name, prompts.text, prompts.source)
    prefix = prompt_set.prefix(responder.shots)
    shown = f"responder {responder.name} ({model.name}, {prompt_set.name} with {responder.shots} shots)"
    lazy = LazyEngine(model, engine)
    settings = SamplingSettings(sampling.max_new_tokens, sampling.temperature, sampling.top_p, ASSISTANT_STOPS)

    def response_to(query_id: str, query: str, completion: Completion) -> Response:
        return Response(
            response_id=f"{query_id}-{responder.name}",
            query_id=query_id,
            query=query,
            responder=responder.name,
            responder_rank=rank,
            model=model.name,
            prompt_set=responder.prompt,
            shots=responder.shots,
            response=completion.text,
            prompt_tokens=completion.prompt_tokens,
            tokens=completion.token_count,
            finish_reason=completion.finish_reason,
            logprob=completion.logprob,
            seed=completion.seed,
        )

    def answer(numbers: range) -> Sequence[Response]:
        shard = asked[numbers.start : numbers.stop]
        suffixes = [assistant_suffix([Turn(Role.HUMAN, query)]) for _, query in shard]
        seeds = [derive_seed(seed, "response", responder.name, query_id) for query_id, _ in shard]
        with naming_rows([f"{shown}, query {query_id}" for query_id, _ in shard]):
            completions = lazy.open().try_generate(prefix, suffixes, seeds, settings)
        return [response_to(*query, completion) for query, completion in zip(shard, completions, strict=True)]

    progress = ProgressReporter(len(asked), "responses")
    responses = compute_shards(Response, shard_ranges(len(asked), sampling.shard_rows), answer, progress.update)
    lazy.count_tokens()
    return responses
