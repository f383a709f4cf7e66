"""An engine behind an OpenAI-style `/v1/completions` server: vLLM, SGLang, llama.cpp, transformers serve, ...

One request per row, so that a lost or odd reply concerns its own row only; the server batches and shares prefixes.
Rows that are done are kept when others fail: the same call again asks for the missing ones alone. The model folder
gives the tokenizer and the context length; the weights are the server's.

What a server can do is tried out once (`probe`), because some ignore fields that they do not know. A seed is passed
on, but whether equal seeds give equal samples is the server's business.
"""

import logging
import math
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from data_contracts.config.engine import EngineConfig, EngineKind
from data_contracts.errors import ConfigError, EngineError
from data_contracts.finish_reason import FinishReason
from models.engines.completions_client import CompletionsClient, Reply, RowRefusedError
from models.engines.echo_scoring import echo_payload, prompt_logprobs
from models.engines.option_scoring import OptionScore, encode_options
from models.engines.protocol import Completion, EngineCounters, SamplingSettings, require_fit
from models.engines.row_requests import for_each_row
from models.engines.server_abilities import PROMPT, Abilities, probe
from models.lm.load_model import open_tokenizer, weight_digest
from models.lm.token_rows import TokenIds, encode_rows, share_prefix

BLANK_TRIES = 4  # samples of a row under `ban_empty` until one has text
CONCURRENCY = {EngineKind.VLLM: 256, EngineKind.OPENAI: 8}

_log = logging.getLogger("almost.engines")


class OpenAIEngine:
    """An `Engine` whose model runs in a server."""

    def __init__(
        self, config: EngineConfig, model_path: Path, require_alive: Callable[[], None] = lambda: None
    ) -> None:
        """Connect and try the server out; `model_path` holds config.json and the tokenizer.

        `require_alive` is asked when the server is out of reach, and raises if it has ended.

        Raises:
            ConfigError: no address is set, or the folder is incomplete.
            EngineError: the server refuses or cannot do what the protocol needs.
            TransientEngineError: it cannot be reached.
        """
        if config.base_url is None:
            raise ConfigError("engine.kind 'openai' needs engine.base_url, e.g. http://127.0.0.1:8000/v1")
        self.model_path, self.failed_share = Path(model_path), config.failed_share
        self.concurrency = config.concurrency or CONCURRENCY[config.kind]
        self.tokenizer, self._context_length = open_tokenizer(self.model_path)
        name = config.served_model or str(model_path)
        key = os.environ.get(config.api_key_env)
        self.client = CompletionsClient(
            config.base_url, name, key, config.request_timeout_s, config.request_retries, require_alive=require_alive
        )
        self.counters = EngineCounters(unmeasured=frozenset({"padded_tokens"}))
        self.abilities: Abilities = probe(self.client, self.count_tokens(PROMPT))
        self._done: dict[tuple[str, int, SamplingSettings], tuple[Completion, Reply]] = {}
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
        return self._rows(prefix, suffixes, seeds, settings, failed_share=0.0)

    def try_generate(
        self, prefix: str, suffixes: Sequence[str], seeds: Sequence[int], settings: SamplingSettings
    ) -> list[Completion]:
        """See `Engine.try_generate`."""
        return self._rows(prefix, suffixes, seeds, settings, self.failed_share)

    def _rows(
        self,
        prefix: str,
        suffixes: Sequence[str],
        seeds: Sequence[int],
        settings: SamplingSettings,
        failed_share: float,
    ) -> list[Completion]:
        if len(suffixes) != len(seeds):
            raise ConfigError(f"{len(suffixes)} prompts came with {len(seeds)} seeds; give one seed per prompt")
        if settings.temperature > 0 and suffixes and not self.abilities.samples:
            raise EngineError(
                "the server gives the same text for every seed although a temperature is set; let it sample "
                "(transformers serve: do_sample in the model's generation_config.json)"
            )
        prompts = [prefix + suffix for suffix in suffixes]
        rows = encode_rows(self.tokenizer, prompts)
        require_fit([len(row) for row in rows], settings.max_new_tokens, self.context_length)
        for number, row in enumerate(rows):
            if not row or not prompts[number]:
                raise ConfigError(f"prompt {number} is empty; servers refuse that or make up a beginning")
        started = time.perf_counter()
        try:
            done = for_each_row(
                len(rows), self.concurrency, lambda n: self._one(prompts[n], len(rows[n]), seeds[n], settings)
            )
        finally:
            self.counters.seconds += time.perf_counter() - started
        completions = [completion for completion, _ in done]
        self._require_few_failures(completions, failed_share)
        self._done.clear()
        self._count(rows, completions, [reply for _, reply in done])
        return completions

    def score_options(self, context: str, options: Sequence[str], prefix: str = "") -> list[float]:
        """See `Engine.score_options`."""
        return self.score_many([(context, options)], prefix)[0]

    def score_many(self, items: Sequence[tuple[str, Sequence[str]]], prefix: str = "") -> list[list[float]]:
        """See `Engine.score_many`; every option is a request of its own.

        Raises:
            EngineError: the server does not send log-probabilities of a prompt.
        """
        if not self.abilities.prompt_logprobs:
            raise EngineError(
                f"the server at {self.client.base_url} sends no log-probabilities of prompts (`echo` with `logprobs`), "
                "so it cannot score options; use vLLM or SGLang, or engine.kind 'transformers'"
            )
        encoded = encode_options(self.tokenizer, items, prefix)
        texts = [prefix + context + option for context, options in items for option in options]
        rows = [encoded.contexts[number] + ids for number, ids in encoded.options]
        require_fit([len(row) for row in rows], 1, self.context_length)

        def score(place: int) -> float:
            own = len(encoded.options[place][1])
            found = prompt_logprobs(self.client.complete(echo_payload(texts[place])), len(rows[place]))
            return math.fsum(found[len(found) - own :])

        flat = iter(for_each_row(len(rows), self.concurrency, score))
        self._count(rows, [], [])
        return [[next(flat) for _ in options] for _, options in items]

    def read_options(self, items: Sequence[tuple[str, Sequence[str]]], prefix: str = "") -> list[list[OptionScore]]:
        """See `Engine.read_options`; a server does not tell what greedy decoding would have written."""
        return [[OptionScore(score, None) for score in scores] for scores in self.score_many(items, prefix)]

    def _one(self, prompt: str, length: int, seed: int, settings: SamplingSettings) -> tuple[Completion, Reply | None]:
        """A row's completion, or its recorded failure."""
        known = self._done.get((prompt, seed, settings))
        if known is not None:
            return known
        try:
            done = self._complete(prompt, length, seed, settings)
        except RowRefusedError as error:
            return Completion("", 0, length, FinishReason.FAILED, None, seed, str(error)), None
        self._done[prompt, seed, settings] = done
        return done

    def _require_few_failures(self, rows: Sequence[Completion], allowed: float) -> None:
        """Log the failed rows, or raise when they are more than the share allowed."""
        failed = [(number, row.error) for number, row in enumerate(rows) if row.error is not None]
        if not failed:
            return
        quoted = "; ".join(f"prompt {number}: {error}" for number, error in failed[:3])
        if len(failed) > allowed * len(rows):
            raise EngineError(f"{len(failed)} of {len(rows)} prompts failed and the others are kept: {quoted}")
        _log.warning("%s of %s prompts failed and are recorded as such: %s", len(failed), len(rows), quoted)
        self.counters.failed_rows += len(failed)

    def _complete(self, prompt: str, length: int, seed: int, settings: SamplingSettings) -> tuple[Completion, Reply]:
        for attempt in range(BLANK_TRIES if settings.ban_empty and settings.temperature > 0 else 1):
            reply = self.client.complete(self._payload(prompt, seed + attempt, settings))
            if reply.prompt_tokens is not None and reply.prompt_tokens < length - 1:
                raise RowRefusedError(
                    f"the server read {reply.prompt_tokens} of the prompt's {length} tokens: it cut it"
                )
            completion = self._completion(reply, length, seed, settings)
            if completion.text:
                break
        return completion, reply

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

    def _count(self, rows: list[TokenIds], done: Sequence[Completion], replies: Sequence[Reply | None]) -> None:
        shared = share_prefix(rows) if rows else None
        prompt_tokens = sum(map(len, rows))
        self.counters.rows += len(rows)
        self.counters.prompt_tokens += prompt_tokens
        if shared is not None:
            self.counters.unique_prompt_tokens += len(shared.shared) + sum(map(len, set(map(tuple, shared.own))))
        self.counters.generated_tokens += sum(completion.token_count for completion in done)
        cached = [reply.cached_tokens for reply in replies if reply is not None and reply.cached_tokens is not None]
        if len(cached) < len(rows):  # the server does not say what it found in its cache
            self.counters.unmeasured |= {"computed_prompt_tokens"}
        self.counters.computed_prompt_tokens += prompt_tokens - sum(cached)


def _sum(logprobs: list[float | None] | None) -> float | None:
    """Sum of finite log-probabilities; None when one is missing."""
    if logprobs is None or not all(isinstance(x, int | float) and math.isfinite(x) for x in logprobs):
        return None
    return float(sum(x for x in logprobs if x is not None))
