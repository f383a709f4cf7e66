"""An engine behind an OpenAI-style `/v1/completions` server: vLLM, SGLang, llama.cpp, transformers serve, ...

One request per row, so that a lost or odd reply concerns its own row only; the server batches and shares prefixes.
Rows that are done are kept when others fail: the same call again asks for the missing ones alone. The model folder
gives the tokenizer and the context length; the weights are the server's.

What a server can do is tried out once (`probe`), because some ignore fields that they do not know. A seed is passed
on, but whether equal seeds give equal samples is the server's business.
"""

import math
import os
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_contracts.errors import ConfigError, EngineError, TransientEngineError
from data_contracts.sections import EngineConfig
from models.engines.completions_client import CompletionsClient, Reply, RowRefusedError
from models.engines.load_model import open_tokenizer, weight_digest
from models.engines.protocol import Completion, EngineCounters, FinishReason, SamplingSettings, require_fit
from models.engines.server_abilities import Abilities, probe
from models.engines.token_rows import encode_rows

BLANK_TRIES = 4  # samples of a row under `ban_empty` until one has text


@dataclass(frozen=True)
class RowFailure:
    """Why a row has no completion."""

    row: int
    reason: str


class OpenAIEngine:
    """An `Engine` whose model runs in a server."""

    def __init__(self, config: EngineConfig, model_path: Path) -> None:
        """Connect and try the server out; `model_path` holds config.json and the tokenizer.

        Raises:
            ConfigError: no address is set, or the folder is incomplete.
            EngineError: the server refuses or cannot do what the protocol needs.
            TransientEngineError: it cannot be reached.
        """
        if config.base_url is None:
            raise ConfigError("engine.kind 'openai' needs engine.base_url, e.g. http://127.0.0.1:8000/v1")
        self.model_path, self.concurrency = Path(model_path), config.concurrency
        self.tokenizer, self._context_length = open_tokenizer(self.model_path)
        name = config.served_model or str(model_path)
        key = os.environ.get(config.api_key_env)
        self.client = CompletionsClient(config.base_url, name, key, config.request_timeout_s, config.request_retries)
        self.counters = EngineCounters()
        self.abilities: Abilities = probe(self.client)
        self._done: dict[tuple[str, int, SamplingSettings], Completion] = {}
        self._digest: str | None = None

    @property
    def context_length(self) -> int:
        """Tokens that a prompt and its completion may have together."""
        return self._context_length

    @property
    def model_digest(self) -> str:
        """SHA-256 of the local folder's weights, configuration and tokenizer."""
        if self._digest is None:
            self._digest = weight_digest(self.model_path)
        return self._digest

    def count_tokens(self, text: str) -> int:
        """Tokens of `text` as a prompt, BOS included."""
        return len(encode_rows(self.tokenizer, [text])[0])

    def generate(
        self, prefix: str, suffixes: Sequence[str], seeds: Sequence[int], settings: SamplingSettings
    ) -> list[Completion]:
        """See `Engine.generate`. When rows fail, the others are done first and kept for the next call.

        Raises:
            EngineError: rows failed; the message counts and quotes them.
        """
        results = self.try_generate(prefix, suffixes, seeds, settings)
        failures = [result for result in results if isinstance(result, RowFailure)]
        if failures:
            quoted = "; ".join(f"prompt {failure.row}: {failure.reason}" for failure in failures[:3])
            raise EngineError(f"{len(failures)} of {len(results)} prompts failed and the others are kept: {quoted}")
        return [result for result in results if isinstance(result, Completion)]

    def try_generate(
        self, prefix: str, suffixes: Sequence[str], seeds: Sequence[int], settings: SamplingSettings
    ) -> list[Completion | RowFailure]:
        """A completion or a recorded failure for each row, in the order given.

        Raises:
            ConfigError: a row does not fit the context, or seeds and suffixes differ in number.
            TransientEngineError, EngineError: the server as a whole fails; rows already done are kept.
        """
        if len(suffixes) != len(seeds):
            raise ConfigError(f"{len(suffixes)} prompts came with {len(seeds)} seeds; give one seed per prompt")
        if settings.temperature > 0 and suffixes and not self.abilities.samples:
            raise EngineError(
                "the server gives the same text for every seed although a temperature is set; let it sample "
                "(transformers serve: do_sample in the model's generation_config.json)"
            )
        prompts = [prefix + suffix for suffix in suffixes]
        lengths = [len(ids) for ids in encode_rows(self.tokenizer, prompts)]
        for number, length in enumerate(lengths):
            require_fit(length, settings.max_new_tokens, self.context_length, f"prompt {number}")
            if not length or not prompts[number]:
                raise ConfigError(f"prompt {number} is empty; servers refuse that or make up a beginning")
        started = time.perf_counter()
        try:
            return self._all_rows(prompts, lengths, seeds, settings)
        finally:
            self.counters.seconds += time.perf_counter() - started

    def score_options(self, context: str, options: Sequence[str], prefix: str = "") -> list[float]:
        """See `Engine.score_options`."""
        return self.score_many([(context, options)], prefix)[0]

    def score_many(self, items: Sequence[tuple[str, Sequence[str]]], prefix: str = "") -> list[list[float]]:
        """Not offered: a request with `echo` reads the whole prompt again for every option.

        Raises:
            EngineError: always; engine.kind 'transformers' scores options with shared contexts.
        """
        raise EngineError("engine.kind 'openai' does not score options; use engine.kind 'transformers' for evaluations")

    def _all_rows(
        self, prompts: list[str], lengths: list[int], seeds: Sequence[int], settings: SamplingSettings
    ) -> list[Completion | RowFailure]:
        stop = threading.Event()  # set when the server as a whole fails: rows not yet sent stay unsent

        def one(row: int) -> Completion | RowFailure | None:
            known = self._done.get((prompts[row], seeds[row], settings))
            if known is not None or stop.is_set():
                return known
            try:
                completion = self._row(prompts[row], lengths[row], seeds[row], settings)
            except RowRefusedError as error:
                return RowFailure(row, str(error))
            except BaseException:
                stop.set()
                raise
            self._done[prompts[row], seeds[row], settings] = completion
            return completion

        with ThreadPoolExecutor(self.concurrency) as pool:
            futures = [pool.submit(one, row) for row in range(len(prompts))]
        errors = [error for error in (future.exception() for future in futures) if error is not None]
        if errors:
            raise next((e for e in errors if not isinstance(e, TransientEngineError)), errors[0])
        results = [future.result() for future in futures]
        assert all(result is not None for result in results)
        complete = not any(isinstance(result, RowFailure) for result in results)
        self._count(prompts, lengths, results)
        if complete:
            self._done.clear()
        return [result for result in results if result is not None]

    def _row(self, prompt: str, length: int, seed: int, settings: SamplingSettings) -> Completion:
        for attempt in range(BLANK_TRIES if settings.ban_empty and settings.temperature > 0 else 1):
            reply = self.client.complete(self._payload(prompt, seed + attempt, settings))
            if reply.prompt_tokens is not None and reply.prompt_tokens < length - 1:
                raise RowRefusedError(
                    f"the server read {reply.prompt_tokens} of the prompt's {length} tokens: it cut it"
                )
            completion = self._completion(reply, length, seed, settings)
            if completion.text:
                break
        return completion

    def _payload(self, prompt: str, seed: int, settings: SamplingSettings) -> dict[str, Any]:
        payload: dict[str, Any] = {
            "prompt": prompt,
            "max_tokens": settings.max_new_tokens,
            "temperature": settings.temperature,
            "seed": seed % 2**31,
        }
        if settings.temperature > 0:
            payload["top_p"] = settings.top_p
        if settings.stop:
            payload["stop"] = list(settings.stop)
        if self.abilities.logprobs:
            payload["logprobs"] = 1
        return payload

    def _completion(self, reply: Reply, length: int, seed: int, settings: SamplingSettings) -> Completion:
        text = reply.text
        cuts = [place for place in (text.find(stop) for stop in settings.stop) if place >= 0]
        if reply.finish_reason == "length":
            reason = FinishReason.LENGTH
        else:
            ended = not settings.stop or (reply.has_stop_reason and reply.stop_reason is None)
            reason = FinishReason.END if ended else FinishReason.STOP
        if cuts:
            text, reason = text[: min(cuts)], FinishReason.STOP
        tokens = reply.completion_tokens
        if tokens is None:
            tokens = len(self.tokenizer(reply.text, add_special_tokens=False)["input_ids"])
        if tokens > settings.max_new_tokens + 1:
            raise RowRefusedError(f"the server drew {tokens} tokens although {settings.max_new_tokens} were asked for")
        return Completion(text.strip(), tokens, length, reason, _sum(reply.token_logprobs), seed)

    def _count(self, prompts: list[str], lengths: list[int], results: Sequence[Any]) -> None:
        self.counters.rows += len(prompts)
        self.counters.prompt_tokens += sum(lengths)
        self.counters.generated_tokens += sum(r.token_count for r in results if isinstance(r, Completion))


def _sum(logprobs: list[float | None] | None) -> float | None:
    """Sum of finite log-probabilities; None when one is missing."""
    if logprobs is None or not all(isinstance(x, int | float) and math.isfinite(x) for x in logprobs):
        return None
    return float(sum(x for x in logprobs if x is not None))
