"""What share of the processor's measured matrix-multiplication speed does generation behind a shared prefix reach?

The limit counts only arithmetic that no engine can leave out: the prefix once, each row's own tokens through all
weights, and attention over the tokens a position sees. It is divided by the speed of a large float32 product.
"""

from typing import Any

import torch

from benchmarks._measuring import interleaved
from benchmarks._prefix_workload import NEW_TOKENS, PREFIX_TOKENS, REQUESTS, SUFFIX_TOKENS, engine_folder, ours
from models.engines.transformers_engine import TransformersEngine

GEMM_ROUNDS, GEMM_SHAPE = 20, (2048, 1024, 1024)


def measure(requests: int = REQUESTS, rounds: int = 3) -> dict[str, Any]:
    """The share (CPU seconds), and both speeds."""
    left, right = torch.randn(GEMM_SHAPE[:2]), torch.randn(GEMM_SHAPE[1:])
    with engine_folder() as folder:
        engine = TransformersEngine(folder, batch_size=requests, threads=1)
        ours(engine, 99, 4)
        _, seconds = interleaved(
            {
                "ours": lambda seed: ours(engine, seed, requests),
                "gemm": lambda _: [left @ right for _ in range(GEMM_ROUNDS)],
            },
            rounds,
        )
        needed = needed_flops(engine.loaded.model.config, requests)
    gemm = 2 * GEMM_SHAPE[0] * GEMM_SHAPE[1] * GEMM_SHAPE[2] * GEMM_ROUNDS / seconds["gemm"].cpu_s
    return {
        "ratio": round(needed / seconds["ours"].cpu_s / gemm, 3),
        "tokens_per_cpu_s": round(requests * NEW_TOKENS / seconds["ours"].cpu_s, 1),
        "limit_tokens_per_cpu_s": round(requests * NEW_TOKENS / (needed / gemm), 1),
        "gemm_gflops": round(gemm / 1e9, 1),
        "requests": requests,
    }


def needed_flops(config: Any, requests: int) -> float:
    """Floating-point operations (a multiply-add is two) of the workload on a Llama with as many key-value heads as heads."""
    hidden, layers = config.hidden_size, config.num_hidden_layers
    per_token = 2 * layers * (4 * hidden**2 + 3 * hidden * config.intermediate_size)
    head = 2 * hidden * config.vocab_size
    own = SUFFIX_TOKENS + NEW_TOKENS - 1  # the last token drawn is not read
    seen_by_prefix = PREFIX_TOKENS * (PREFIX_TOKENS + 1) // 2
    seen_by_row = own * PREFIX_TOKENS + own * (own + 1) // 2
    attention = 4 * hidden * layers * (seen_by_prefix + requests * seen_by_row)
    return per_token * (PREFIX_TOKENS + requests * own) + head * requests * NEW_TOKENS + attention
