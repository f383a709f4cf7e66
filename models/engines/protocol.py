"""The one protocol of text generation: a shared prefix, many suffixes and sampling settings in,
completions with token counts, finish reason and log-probability out.

An engine knows nothing of queries, responders or rewards. A row is `prefix + suffix`; it starts with one BOS token
when the tokenizer has one. The seed of a row, not its place in a batch, decides its sample.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from data_contracts.errors import ConfigError
from data_contracts.finish_reason import FinishReason

if TYPE_CHECKING:
    from models.engines.option_scoring import OptionScore  # torch takes seconds to import


@dataclass(frozen=True)
class SamplingSettings:
    """How completions are drawn; `temperature` 0 is greedy.

    `stop` strings end a completion and are cut from its text. With `ban_empty`, end tokens and tokens that hold a
    stop string are not drawn while the completion is still white space (its log-probability stays the model's own).
    """

    max_new_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    ban_empty: bool = False

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise ConfigError(f"max_new_tokens is {self.max_new_tokens}; at least 1 is needed")
        if not self.temperature >= 0:
            raise ConfigError(f"temperature is {self.temperature}; use 0 (greedy) or more")
        if not 0 < self.top_p <= 1:
            raise ConfigError(f"top_p is {self.top_p}; it must lie in (0, 1]")
        if not all(self.stop):
            raise ConfigError("an empty stop string would end every completion at once; remove it")


@dataclass(frozen=True)
class Completion:
    """One completion of one row.

    `text` is stripped of surrounding white space, of the stop string and of special tokens. `token_count` and
    `logprob` cover every token drawn, the end token and the stop string's tokens included; `logprob` is the sum of
    their natural-log probabilities under the model at temperature 1, whatever the sampling; None where a server
    reports none. `error` says why a server has no completion (finish reason `failed`, empty text).
    """

    text: str
    token_count: int
    prompt_tokens: int
    finish_reason: FinishReason
    logprob: float | None
    seed: int
    error: str | None = None


@dataclass
class EngineCounters:
    """What an engine did since it was opened; differences of two snapshots measure a step."""

    rows: int = 0
    prompt_tokens: int = 0  # what a server without any sharing would read
    unique_prompt_tokens: int = 0  # every shared prefix and every distinct suffix once
    computed_prompt_tokens: int = 0  # what really ran through the model, padding included
    padded_tokens: int = 0  # positions run for no text: padding of prompts, steps of finished rows
    generated_tokens: int = 0
    failed_rows: int = 0
    seconds: float = 0.0
    unmeasured: frozenset[str] = frozenset()  # counters that this engine cannot know

    def measured(self) -> dict[str, float]:
        """The counters by name, without those that were not measured."""
        return {name: value for name, value in vars(self).items() if name not in {"unmeasured", *self.unmeasured}}


class Engine(Protocol):
    """A loaded model that completes and scores text."""

    counters: EngineCounters

    @property
    def context_length(self) -> int:
        """Tokens that a prompt and its completion may have together."""
        ...

    @property
    def model_digest(self) -> str:
        """SHA-256 of the model's weights, configuration and tokenizer."""
        ...

    def count_tokens(self, text: str) -> int:
        """Tokens of `text` as a prompt, BOS included."""
        ...

    def generate(
        self, prefix: str, suffixes: Sequence[str], seeds: Sequence[int], settings: SamplingSettings
    ) -> list[Completion]:
        """Complete `prefix + suffix` for each suffix, in the order given; `prefix` may be empty.

        Raises:
            ConfigError: a row and its new tokens do not fit the context, or seeds and suffixes differ in number.
            EngineError: the model gives NaN, memory runs out, or a server fails a row.
        """
        ...

    def try_generate(
        self, prefix: str, suffixes: Sequence[str], seeds: Sequence[int], settings: SamplingSettings
    ) -> list[Completion]:
        """As `generate`, but a row that a server fails comes back as finish reason `failed` in its place.

        Raises:
            EngineError: more rows failed than `engine.failed_share` allows; the message counts and quotes them.
        """
        ...

    def score_options(self, context: str, options: Sequence[str], prefix: str = "") -> list[float]:
        """Log-likelihood (nats, summed over tokens) of each option after `prefix + context`.

        `prefix` changes nothing but speed: calls that share one read it once.
        """
        ...

    def score_many(self, items: Sequence[tuple[str, Sequence[str]]], prefix: str = "") -> list[list[float]]:
        """`score_options` of many (context, options) items behind one prefix, in batches."""
        ...

    def read_options(self, items: Sequence[tuple[str, Sequence[str]]], prefix: str = "") -> "list[list[OptionScore]]":
        """`score_many`, with whether greedy decoding would have written the option."""
        ...


class PromptTooLongError(ConfigError):
    """A row and its new tokens are more than the context holds; `row` is its place among the rows asked for."""

    def __init__(self, row: int, what: str, prompt_tokens: int, max_new_tokens: int, context_length: int) -> None:
        self.row = row
        super().__init__(
            f"{what} has {prompt_tokens} tokens and asks for {max_new_tokens} new ones, but the model's context "
            f"holds {context_length}; use fewer or shorter shots, or a smaller max_new_tokens"
        )


def require_fit(lengths: Sequence[int], max_new_tokens: int, context_length: int, what: str | None = None) -> None:
    """Raise PromptTooLongError, with the longest row, when one and `max_new_tokens` are more than the context holds."""
    longest = max(range(len(lengths)), key=lambda row: lengths[row], default=None)
    if longest is not None and lengths[longest] + max_new_tokens > context_length:
        raise PromptTooLongError(longest, what or f"prompt {longest}", lengths[longest], max_new_tokens, context_length)


@contextmanager
def naming_rows(names: Sequence[str]) -> Iterator[None]:
    """Inside, an error about the length of row n says `names[n]`, which a caller's reader can look up."""
    try:
        yield
    except PromptTooLongError as error:
        raise ConfigError(f"{names[error.row]}: {error}") from error
