"""How much faster are 256 rows behind a shared prefix than transformers' `generate` at its own best batch size?

The peer runs the first batch of the same requests (its batches are alike, so its rate is per row); ours runs all of
them, reading the prefix and tokenising included. Tokens and log-probabilities are compared on the peer's rows.
"""

from typing import Any

from benchmarks._measuring import interleaved
from benchmarks._prefix_workload import (
    NEW_TOKENS,
    REQUESTS,
    best_batch,
    by_generate,
    check_same,
    engine_folder,
    ours,
    token_rows,
)
from models.engines.transformers_engine import TransformersEngine

ROUNDS = 3


def measure(requests: int = REQUESTS, rounds: int = ROUNDS, peer: Any = by_generate) -> dict[str, Any]:
    """Tokens per CPU and wall second of both, and their ratio (CPU)."""
    with engine_folder() as folder:
        engine, other = (TransformersEngine(folder, batch_size=requests, threads=1) for _ in range(2))
        model = other.loaded.model
        model.set_attn_implementation("sdpa")
        ours(engine, 99, 4)
        size = best_batch(peer, model, token_rows(engine, 98, requests))
        results, seconds = interleaved(
            {
                "ours": lambda seed: ours(engine, seed, requests),
                "peer": lambda seed: peer(model, token_rows(engine, seed, size)),
            },
            rounds,
        )
        checked = [check_same(result["ours"][:size], result["peer"]) for result in results]
    rate = {"ours": requests * NEW_TOKENS, "peer": size * NEW_TOKENS}
    cpu = {name: rate[name] / seconds[name].cpu_s for name in rate}
    wall = {name: rate[name] / seconds[name].wall_s for name in rate}
    return {
        "ratio": round(cpu["ours"] / cpu["peer"], 2),
        "ratio_wall": round(wall["ours"] / wall["peer"], 2),
        "tokens_per_cpu_s": round(cpu["ours"], 1),
        "tokens_per_wall_s": round(wall["ours"], 1),
        "peer_tokens_per_cpu_s": round(cpu["peer"], 1),
        "peer_tokens_per_wall_s": round(wall["peer"], 1),
        "peer_batch": size,
        "requests": requests,
        "rows_compared": size * rounds,
        "near_ties": sum(parted for parted, _ in checked),
        "logprob_difference": float(f"{max(difference for _, difference in checked):.1e}"),
    }
