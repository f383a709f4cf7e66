"""PPO's prompts as token ids, split by query into training and validation."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from data_contracts.conversation import Conversation
from data_contracts.errors import EmptyResultError
from data_contracts.specs.optimize_policy import PPOSpec
from data_contracts.tables.demonstrations import QuerySplit
from data_contracts.tables.policy_prompts import PolicyPrompt
from models.lm.chat_template import prompt_ids, trim_context
from models.lm.tokenizer_check import TruncationCount


@dataclass(frozen=True)
class Prompt:
    """One prompt: where it came from, its (perhaps trimmed) context, and its token ids."""

    prompt_id: str
    query_id: str
    split: QuerySplit
    context: Conversation
    ids: list[int]


def read_prompts(spec: PPOSpec, tokenizer: Any) -> tuple[list[Prompt], list[Prompt], TruncationCount]:
    """Training and validation prompts; a query's prompts are all on one side.

    Raises:
        EmptyResultError: no prompt is left for training.
    """
    count, prompts = TruncationCount(), []
    for row in PolicyPrompt.read_files(spec.prompts):
        count.rows += 1
        trimmed = trim_context(tokenizer, row.context, spec.max_prompt_tokens)
        if trimmed is None:
            count.dropped_rows += 1
            continue
        context, dropped = trimmed
        count.trimmed_rows += dropped > 0
        count.trimmed_turns += dropped
        ids = prompt_ids(tokenizer, context)
        prompts.append(Prompt(row.prompt_id, row.query_id, row.split, context, ids))
    held = _validation_queries(sorted({prompt.query_id for prompt in prompts}), spec)
    training = [prompt for prompt in prompts if prompt.query_id not in held]
    validation = [prompt for prompt in prompts if prompt.query_id in held][: spec.validation_prompts]
    if not training:
        raise EmptyResultError(
            f"{spec.optimizer.name} has no prompt to train on: {count.rows} read, {count.dropped_rows} longer than "
            f"max_prompt_tokens {spec.max_prompt_tokens}, {len(validation)} kept for validation"
        )
    return training, validation, count


def _validation_queries(queries: list[str], spec: PPOSpec) -> set[str]:
    if spec.validation_share == 0 or len(queries) < 2:
        return set()
    size = min(math.ceil(spec.validation_share * len(queries)), len(queries) - 1)
    order = np.random.default_rng([spec.seed, 13]).permutation(len(queries))
    return {queries[i] for i in order[:size]}
