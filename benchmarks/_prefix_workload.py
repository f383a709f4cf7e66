"""The workload of shared_prefix, static_cache and roofline: 256 rows behind one few-shot prefix of 1,024 tokens.

A random Llama of 7.45M parameters (hidden 256, 6 layers, 8 heads, 4,544 words, tied embeddings) continues 1,024 + 32
tokens by 64, greedily, in float32 on one thread. A word is a token, so lengths are exact; no end token, so every
row runs to its limit.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.generation import GenerationConfig

from benchmarks._measuring import timed
from models.engines.protocol import Completion, SamplingSettings
from models.engines.transformers_engine import TransformersEngine
from models.lm.token_rows import encode_rows

PREFIX_TOKENS, SUFFIX_TOKENS, NEW_TOKENS, REQUESTS = 1024, 32, 64, 256
VOCABULARY = 4544
NEAR_TIE = 1e-3  # nats between the two likeliest tokens below which float order may decide
PEER_BATCHES = (4, 8, 16, 32)


@dataclass(frozen=True)
class Drawn:
    """Greedy tokens of some rows, their log-probabilities and the margin to the second-likeliest, (B, T) each."""

    tokens: torch.Tensor
    logprobs: torch.Tensor
    margins: torch.Tensor


@contextmanager
def engine_folder(hidden: int = 256, layers: int = 6, heads: int = 8) -> Iterator[Path]:
    """A model folder of the workload's shape."""
    with tempfile.TemporaryDirectory() as name:
        words = {f"w{number}": number for number in range(VOCABULARY)}
        tokenizer = Tokenizer(models.WordLevel(words, unk_token="w0"))  # type: ignore[call-arg]
        tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()  # type: ignore[assignment]
        PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(name)
        torch.manual_seed(0)
        config = LlamaConfig(
            vocab_size=VOCABULARY, hidden_size=hidden, intermediate_size=4 * hidden, num_hidden_layers=layers,
            num_attention_heads=heads, num_key_value_heads=heads, max_position_embeddings=2048,
            tie_word_embeddings=True, bos_token_id=None, eos_token_id=None,
        )  # fmt: skip
        model = LlamaForCausalLM(config)
        for parameter in model.parameters():
            if parameter.dim() > 1:
                torch.nn.init.normal_(parameter, std=0.05)
        model.save_pretrained(name)
        yield Path(name)


def requests(seed: int, number: int = REQUESTS) -> tuple[str, list[str]]:
    """A prefix and suffixes of random words."""
    draw = np.random.default_rng(seed)

    def text(tokens: int) -> str:
        return " ".join(f"w{word}" for word in draw.integers(VOCABULARY, size=tokens))

    return text(PREFIX_TOKENS), [" " + text(SUFFIX_TOKENS) for _ in range(number)]


def ours(engine: TransformersEngine, seed: int, number: int = REQUESTS) -> list[Completion]:
    """Complete all requests, the prefix not yet known to the engine."""
    prefix, suffixes = requests(seed, number)
    return engine.generate(prefix, suffixes, range(number), SamplingSettings(NEW_TOKENS, temperature=0))


def token_rows(engine: TransformersEngine, seed: int, number: int) -> torch.Tensor:
    """The first `number` requests as token ids, (number, 1056)."""
    prefix, suffixes = requests(seed)
    return torch.tensor(encode_rows(engine.loaded.tokenizer, [prefix + suffix for suffix in suffixes[:number]]))


def by_generate(model: Any, rows: torch.Tensor) -> Drawn:
    """transformers' `generate` on one batch."""
    settings = GenerationConfig(
        max_new_tokens=NEW_TOKENS, do_sample=False, output_logits=True, return_dict_in_generate=True, pad_token_id=0
    )
    output = model.generate(rows, attention_mask=torch.ones_like(rows), generation_config=settings)
    return drawn(output.sequences[:, rows.shape[1] :], torch.stack(output.logits, dim=1))


def drawn(tokens: torch.Tensor, logits: torch.Tensor) -> Drawn:
    """Greedy rows from (B, T) tokens and (B, T, V) logits."""
    logprobs = logits.log_softmax(-1)
    best = logprobs.topk(2, dim=-1).values
    return Drawn(tokens, logprobs.gather(-1, tokens[..., None]).squeeze(-1), best[..., 0] - best[..., 1])


def best_batch(call: Any, model: Any, rows: torch.Tensor) -> int:
    """The batch size of `PEER_BATCHES` at which a peer has the most rows per CPU second."""
    rates = {size: size / timed(lambda size=size: call(model, rows[:size]))[1].cpu_s for size in PEER_BATCHES}
    return max(rates, key=lambda size: rates[size])


def check_same(found: list[Completion], peer: Drawn) -> tuple[int, float]:
    """Assert that our first rows are the peer's; returns rows parted at a near-tie, and the largest difference of
    a row's summed log-probability."""
    parted, largest = 0, 0.0
    for row, (completion, tokens) in enumerate(zip(found, peer.tokens.tolist(), strict=False)):
        words = [int(word[1:]) for word in completion.text.split()]
        assert len(words) == NEW_TOKENS
        differing = [place for place in range(NEW_TOKENS) if words[place] != tokens[place]]
        if differing:
            assert peer.margins[row, differing[0]] < NEAR_TIE, f"row {row} parts at token {differing[0]}"
            parted += 1
            continue
        assert completion.logprob is not None
        largest = max(largest, abs(completion.logprob - float(peer.logprobs[row].double().sum())))
    assert largest < 1e-4, f"log-probabilities differ by {largest}"
    return parted, largest
