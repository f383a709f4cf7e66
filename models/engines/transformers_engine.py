"""The built-in engine: a transformers model in this process.

The prefix is read once and kept as one copy (cascade attention), rows run beside others of similar length, finished
rows make room for waiting ones, and a row's sample depends on its seed alone. Models that cascade attention does not
cover take the plain path, batch by batch. Which rows share a
batch is a pure function of the inputs; across batch sizes and devices results differ by float noise only.
"""

import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from data_contracts.errors import ConfigError, EngineError
from data_contracts.finish_reason import FinishReason
from models.engines.cascade_runner import CascadeRunner
from models.engines.decode_loop import DrawnRow, complete_rows, distinct_prompts
from models.engines.option_scoring import OptionRows, OptionScore, encode_options, score_batch
from models.engines.protocol import Completion, EngineCounters, SamplingSettings, require_fit
from models.lm.length_buckets import batches_by_length
from models.lm.load_model import load_model, weight_digest
from models.lm.row_runners import KeyValues, PlainRunner, RowRunner, read_prefix
from models.lm.token_rows import SharedRows, TokenIds, encode_rows, share_prefix
from models.lm.vocabulary import Vocabulary

PREFIXES_KEPT = 4  # few-shot prefixes whose keys and values stay in memory


class TransformersEngine:
    """An `Engine` over a local model folder."""

    def __init__(
        self,
        model_path: Path | str,
        dtype: str = "float32",
        batch_size: int = 64,
        threads: int = 1,
        device: str = "auto",
    ) -> None:
        """Load the model; `threads` sets torch's CPU threads for the whole process.

        Raises:
            ConfigError: the folder is missing or incomplete, or a setting is unknown.
        """
        torch.set_num_threads(threads)
        self.model_path, self.batch_size = Path(model_path), batch_size
        self.loaded = load_model(self.model_path, dtype, device)
        self.counters = EngineCounters()
        self._digest: str | None = None
        size = self.loaded.model.get_output_embeddings().weight.shape[0]
        self.vocabulary = Vocabulary(self.loaded.tokenizer, size, self.loaded.end_ids, self.loaded.device)
        self._prefixes: OrderedDict[str, tuple[TokenIds, KeyValues]] = OrderedDict()

    @property
    def context_length(self) -> int:
        """Tokens that a prompt and its completion may have together."""
        return self.loaded.context_length

    @property
    def model_digest(self) -> str:
        """SHA-256 of the model's weights, configuration and tokenizer."""
        if self._digest is None:
            self._digest = weight_digest(self.model_path)
        return self._digest

    def count_tokens(self, text: str) -> int:
        """Tokens of `text` as a prompt, BOS included."""
        return len(encode_rows(self.loaded.tokenizer, [text])[0])

    def forget_prefixes(self) -> None:
        """Free the memory of the prefixes read so far; the next call reads its own again."""
        self._prefixes.clear()

    def generate(
        self, prefix: str, suffixes: Sequence[str], seeds: Sequence[int], settings: SamplingSettings
    ) -> list[Completion]:
        """See `Engine.generate`."""
        if len(suffixes) != len(seeds):
            raise ConfigError(f"{len(suffixes)} prompts came with {len(seeds)} seeds; give one seed per prompt")
        if not suffixes:
            return []
        with self._working():
            rows = encode_rows(self.loaded.tokenizer, [prefix + suffix for suffix in suffixes])
            self._require_rows(rows, settings.max_new_tokens)
            shared, key_values = self._shared_rows(prefix, rows)
            drawn: list[DrawnRow] = [DrawnRow(seed) for seed in seeds]
            # Where waiting rows take the places of finished ones, one decoding loop completes all of them.
            for group in self._batches(shared, len(rows) if self.loaded.cascade else self.batch_size):
                for row, result in zip(group, self._complete(shared, key_values, group, seeds, settings), strict=True):
                    drawn[row] = result
        self.counters.prompt_tokens += sum(map(len, rows))
        self.counters.rows += len(rows)
        return [self._completion(row, len(ids), settings) for row, ids in zip(drawn, rows, strict=True)]

    def try_generate(
        self, prefix: str, suffixes: Sequence[str], seeds: Sequence[int], settings: SamplingSettings
    ) -> list[Completion]:
        """See `Engine.try_generate`; here a row fails with all others."""
        return self.generate(prefix, suffixes, seeds, settings)

    def score_options(self, context: str, options: Sequence[str], prefix: str = "") -> list[float]:
        """See `Engine.score_options`."""
        return self.score_many([(context, options)], prefix)[0]

    def score_many(self, items: Sequence[tuple[str, Sequence[str]]], prefix: str = "") -> list[list[float]]:
        """See `Engine.score_many`."""
        return [[score.logprob for score in scores] for scores in self.read_options(items, prefix)]

    def read_options(self, items: Sequence[tuple[str, Sequence[str]]], prefix: str = "") -> list[list[OptionScore]]:
        """See `Engine.read_options`."""
        with self._working():
            encoded = encode_options(self.loaded.tokenizer, items, prefix)
            whole = [encoded.contexts[number] + ids for number, ids in encoded.options]
            self._require_rows(whole, 0)
            scores = self._score(encoded, prefix) if whole else []
        self.counters.prompt_tokens += sum(map(len, whole))
        self.counters.rows += len(whole)
        flat = iter(scores)
        return [[next(flat) for _ in options] for _, options in items]

    def _score(self, encoded: OptionRows, prefix: str) -> list[OptionScore]:
        shared, key_values = self._shared_rows(prefix, encoded.contexts)
        following: list[list[int]] = [[] for _ in encoded.contexts]
        for place, (context, _) in enumerate(encoded.options):
            following[context].append(place)
        scores = [OptionScore(0.0, True)] * len(encoded.options)
        for batch in self._batches(shared, self.batch_size):
            places = [place for context in batch for place in following[context]]
            position = {context: number for number, context in enumerate(batch)}
            options = [(position[encoded.options[p][0]], encoded.options[p][1]) for p in places]
            contexts = [shared.own[context] for context in batch]
            runner = self._runner(shared, key_values, contexts, max(len(ids) for _, ids in options))
            for place, score in zip(places, score_batch(runner, contexts, options), strict=True):
                scores[place] = score
            self._count_run(runner, contexts)
        return scores

    def _require_rows(self, rows: Sequence[TokenIds], new_tokens: int) -> None:
        require_fit([len(row) for row in rows], new_tokens, self.context_length)
        empty = next((number for number, row in enumerate(rows) if not row), None)
        if empty is not None:
            raise ConfigError(f"prompt {empty} is empty, and this tokenizer has no BOS token to begin with")

    def _shared_rows(self, prefix: str, rows: list[TokenIds]) -> tuple[SharedRows, KeyValues]:
        """Split the rows at what they share; every row keeps its last token for itself."""
        if not self.loaded.cascade:
            return share_prefix(rows), []
        if not prefix:
            shared = share_prefix(rows)
            self._count_prefix(len(shared.shared))
            return shared, read_prefix(self.loaded.model, shared.shared)
        ids, key_values = self._read_prefix(prefix)
        shared = share_prefix(rows, ids)
        length = len(shared.shared)
        return shared, [(keys[:, :, :length], values[:, :, :length]) for keys, values in key_values if length]

    def _read_prefix(self, prefix: str) -> tuple[TokenIds, KeyValues]:
        if prefix not in self._prefixes:
            ids = encode_rows(self.loaded.tokenizer, [prefix])[0]
            self._prefixes[prefix] = ids, read_prefix(self.loaded.model, ids)
            self._count_prefix(len(ids))
            while len(self._prefixes) > PREFIXES_KEPT:
                self._prefixes.popitem(last=False)
        self._prefixes.move_to_end(prefix)
        return self._prefixes[prefix]

    def _batches(self, shared: SharedRows, size: int) -> Iterator[list[int]]:
        """Rows in batches of similar length, equal prompts beside each other; longest first, so memory peaks early."""
        return batches_by_length([len(row) for row in shared.own], size, longest_first=True, ties=shared.own)

    def _complete(
        self,
        shared: SharedRows,
        key_values: KeyValues,
        group: list[int],
        seeds: Sequence[int],
        settings: SamplingSettings,
    ) -> list[DrawnRow]:
        prompts = [shared.own[row] for row in group]
        runner = self._runner(shared, key_values, prompts, settings.max_new_tokens)
        own_seeds = [seeds[row] for row in group]
        drawn = complete_rows(runner, prompts, own_seeds, settings, self.vocabulary, self.batch_size)
        self._count_run(runner, prompts)
        self.counters.generated_tokens += sum(len(row.tokens) for row in drawn)
        return drawn

    def _runner(self, shared: SharedRows, key_values: KeyValues, prompts: list[TokenIds], new_tokens: int) -> RowRunner:
        if self.loaded.cascade:
            return CascadeRunner(self.loaded.model, key_values, max(map(len, prompts)) + new_tokens)
        return PlainRunner(self.loaded.model, shared.shared)

    def _count_prefix(self, tokens: int) -> None:
        self.counters.unique_prompt_tokens += tokens
        self.counters.computed_prompt_tokens += tokens

    def _count_run(self, runner: RowRunner, prompts: list[TokenIds]) -> None:
        self.counters.unique_prompt_tokens += sum(map(len, distinct_prompts(prompts)[0]))
        self.counters.computed_prompt_tokens += runner.computed
        self.counters.padded_tokens += runner.padded

    def _completion(self, row: DrawnRow, prompt_tokens: int, settings: SamplingSettings) -> Completion:
        text = self.vocabulary.text(row.tokens)
        cut = self.vocabulary.stop_strings(settings.stop).cut(text)
        reason = row.finish_reason if cut is None else FinishReason.STOP
        text = (text if cut is None else cut).strip()
        return Completion(text, len(row.tokens), prompt_tokens, reason, row.logprob, row.seed)

    @contextmanager
    def _working(self) -> Iterator[None]:
        """Inference mode, the clock, and memory errors in words."""
        start = time.perf_counter()
        try:
            with torch.inference_mode():
                yield
        except torch.OutOfMemoryError as error:
            raise EngineError(
                f"out of GPU memory with {self.batch_size} rows at once; lower engine.batch_size"
            ) from error
        finally:
            self.counters.seconds += time.perf_counter() - start
