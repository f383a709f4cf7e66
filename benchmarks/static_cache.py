"""How much faster are 256 rows behind a shared prefix than a bare decoding loop over transformers' StaticCache?

The loop is the leanest use of that cache: preallocated once per batch, no `generate` around it, the prefix read once
per batch and its keys and values copied to every row. Workload, rates and checks are those of shared_prefix.
"""

from typing import Any

import torch
from transformers import StaticCache

from benchmarks import shared_prefix
from benchmarks._prefix_workload import NEW_TOKENS, PREFIX_TOKENS, REQUESTS, Drawn, drawn
from models.lm.row_runners import read_prefix


def measure(requests: int = REQUESTS, rounds: int = shared_prefix.ROUNDS) -> dict[str, Any]:
    """Tokens per CPU and wall second of both, and their ratio (CPU)."""
    return shared_prefix.measure(requests, rounds, by_static_cache)


def by_static_cache(model: Any, rows: torch.Tensor) -> Drawn:
    """Greedy decoding of one batch over a StaticCache; all rows begin with the same prefix."""
    length = rows.shape[1]
    cache = StaticCache(config=model.config, max_cache_len=length + NEW_TOKENS)
    tokens, logits = [], []
    with torch.inference_mode():
        prefix = read_prefix(model, rows[0, :PREFIX_TOKENS].tolist())
        for layer, (keys, values) in enumerate(prefix):
            cache.update(*(x.expand(len(rows), -1, -1, -1).contiguous() for x in (keys, values)), layer)
        fed, start = rows[:, PREFIX_TOKENS:], PREFIX_TOKENS
        for _ in range(NEW_TOKENS):
            positions = torch.arange(start, start + fed.shape[1])[None, :]
            output = model(
                input_ids=fed, position_ids=positions, past_key_values=cache, use_cache=True, logits_to_keep=1
            )
            start += fed.shape[1]
            logits.append(output.logits[:, -1])
            tokens.append(logits[-1].argmax(-1))
            fed = tokens[-1][:, None]
    return drawn(torch.stack(tokens, dim=1), torch.stack(logits, dim=1))
