"""How much faster are 256 rows behind one prefix than by llama.cpp's server, neither knowing the prefix before?

The workload of `shared_prefix`. The server (see `_llama_cpp_peer`) reads the prefix once into each slot; then it continues
a part of the same requests per round, as many at once as it has slots. `ratio` charges it for all 256 rows at that rate and
for filling its slots once; `ratio_warm` leaves the filling out for the server, while ours reads the prefix in both. With or
without flash attention is tried once. CPU seconds are those of the server's process and of this one.

Both are compared with transformers' `generate`. llama.cpp rounds elsewhere in float32 (its rotary angles, for one, come
from repeated multiplication) and was seen to part at margins of up to 0.012 nats: `NEAR_TIE` is wider than elsewhere.
"""

import time
from typing import Any

import torch

from benchmarks._llama_cpp_peer import PACKAGES, LlamaCpp, llama_cpp_server
from benchmarks._measuring import timed
from benchmarks._prefix_workload import (
    NEW_TOKENS,
    PREFIX_TOKENS,
    REQUESTS,
    SUFFIX_TOKENS,
    by_generate,
    engine_folder,
    ours,
    token_rows,
)
from models.engines.transformers_engine import TransformersEngine

NEAR_TIE = 0.05
CONTEXT = PREFIX_TOKENS + SUFFIX_TOKENS + NEW_TOKENS + 32
SETTINGS = ((16, True), (16, False))  # slots, flash attention
COMPARED = 16


def measure(requests: int = REQUESTS, peer_rows: int = 32, rounds: int = 3) -> dict[str, Any]:
    """Tokens per CPU and wall second of both, and their ratios."""
    torch.set_num_threads(1)
    with engine_folder() as folder:
        engine = TransformersEngine(folder, batch_size=requests, threads=1)
        rows = token_rows(engine, 0, peer_rows + max(slots for slots, _ in SETTINGS))
        rates = {setting: _rate(folder, setting, rows) for setting in SETTINGS}
        slots, flash = max(rates, key=lambda setting: rates[setting])
        ratios, walls, warm, parted = [], [], [], 0
        with llama_cpp_server(folder, slots, CONTEXT, flash) as peer:
            _, fill_wall_s, fill_cpu_s = _fill(peer, rows)
            for number in range(rounds):
                completions, own = timed(lambda: ours(_fresh(engine), 0, requests))
                found, wall_s, cpu_s = _timed(peer, rows[:peer_rows])
                warm.append(cpu_s / peer_rows * requests / own.cpu_s)
                ratios.append((cpu_s / peer_rows * requests + fill_cpu_s) / own.cpu_s)
                walls.append((wall_s / peer_rows * requests + fill_wall_s) / own.wall_s)
                if number == 0:
                    parted = _check(engine, rows, completions, found)
                    first = own, cpu_s
    return {
        "ratio": round(sorted(ratios)[rounds // 2], 2),
        "ratio_wall": round(sorted(walls)[rounds // 2], 2),
        "ratio_warm": round(sorted(warm)[rounds // 2], 2),
        "peer_fill_cpu_s": round(fill_cpu_s, 1),
        "tokens_per_cpu_s": round(requests * NEW_TOKENS / first[0].cpu_s, 0),
        "peer_tokens_per_cpu_s": round(peer_rows * NEW_TOKENS / first[1], 0),
        "peer_slots": slots,
        "peer_flash_attention": flash,
        "peer": PACKAGES[0],
        "compared_rows": COMPARED,
        "parted_at_near_ties": parted,
    }


def _fresh(engine: TransformersEngine) -> TransformersEngine:
    engine.forget_prefixes()
    return engine


def _fill(peer: LlamaCpp, rows: torch.Tensor) -> tuple[list[list[int]], float, float]:
    """One request per slot, at once, so that every slot holds the prefix."""
    return _timed(peer, rows[-peer.slots :], new_tokens=1)


def _timed(peer: LlamaCpp, rows: torch.Tensor, new_tokens: int = NEW_TOKENS) -> tuple[list[list[int]], float, float]:
    wall, cpu = time.perf_counter(), peer.cpu_s()
    found = peer.complete(rows.tolist(), new_tokens)
    return found, time.perf_counter() - wall, peer.cpu_s() - cpu


def _rate(folder: Any, setting: tuple[int, bool], rows: torch.Tensor) -> float:
    """Rows per CPU second of one setting."""
    with llama_cpp_server(folder, setting[0], CONTEXT, setting[1]) as peer:
        _fill(peer, rows)
        _, _, cpu_s = _timed(peer, rows[: peer.slots])
    return peer.slots / cpu_s


def _check(engine: TransformersEngine, rows: torch.Tensor, completions: list[Any], found: list[list[int]]) -> int:
    """Assert that both continue the first rows as transformers does, except at near-ties; how many rows part."""
    truth = by_generate(engine.loaded.model, rows[:COMPARED])
    parted = 0
    for row, expected in enumerate(truth.tokens.tolist()):
        own = [int(word[1:]) for word in completions[row].text.split()]
        for name, tokens in (("ours", own), ("llama.cpp", found[row])):
            assert len(tokens) == NEW_TOKENS, f"{name} row {row}: {len(tokens)} tokens"
            place = next((n for n in range(NEW_TOKENS) if tokens[n] != expected[n]), None)
            if place is not None:
                margin = float(truth.margins[row, place])
                assert margin < NEAR_TIE, f"{name} row {row} parts at token {place} by {margin:.3f} nats"
                parted += name == "llama.cpp"
    return parted
