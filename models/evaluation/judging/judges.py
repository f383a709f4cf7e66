"""Judges behind one seam: whoever answers prompts with raw replies, and a text generation engine as one of them.

Reading replies is the business of `judge_reply.py`. A reply that a server refuses to give is a failure of that row, not
of the run.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import singledispatch
from typing import Any, Protocol

from data_contracts.config.engine import EngineConfig
from data_contracts.config.evaluation import JudgeSettings
from data_contracts.errors import ConfigError
from models.engines.protocol import Engine, SamplingSettings


@dataclass(frozen=True)
class JudgePrompt:
    """One thing to judge; `text` is the whole prompt, `key` names it in the journal."""

    key: str
    question: str
    first: str
    second: str
    text: str
    seed: int


@dataclass(frozen=True)
class JudgeReply:
    """What came back; `failure` says why nothing did."""

    text: str
    prompt_tokens: int | None = None
    reply_tokens: int | None = None
    failure: str | None = None


class Judge(Protocol):
    """Anything that replies to prompts."""

    rows_at_once: int  # prompts that are asked together

    def ask(self, prompts: Sequence[JudgePrompt], keep: Callable[[JudgePrompt, JudgeReply], None]) -> None:
        """Hand the reply to each prompt to `keep`, whichever comes first first."""
        ...


@singledispatch
def open_judge(judge: Any, settings: JudgeSettings, engine: EngineConfig) -> Judge:
    """The judge that a handle describes. A kind of judge registers what opens it: `@open_judge.register`.

    Raises:
        ConfigError: no opener is registered for the handle.
    """
    raise ConfigError(f"no judge is known for {type(judge).__name__}; import the module that registers it")


class EngineJudge:
    """A language model as judge; a prompt that does not fit its context is a failure of that row."""

    def __init__(self, engine: Engine, settings: SamplingSettings, rows_at_once: int) -> None:
        self.engine, self.settings, self.rows_at_once = engine, settings, rows_at_once

    def ask(self, prompts: Sequence[JudgePrompt], keep: Callable[[JudgePrompt, JudgeReply], None]) -> None:
        """Hand each reply to `keep`, when all have come.

        Raises:
            TransientEngineError, EngineError: the server as a whole fails.
        """
        limit = self.engine.context_length - self.settings.max_new_tokens
        lengths = [self.engine.count_tokens(prompt.text) for prompt in prompts]
        fitting = [prompt for prompt, length in zip(prompts, lengths, strict=True) if length <= limit]
        replies = iter(self._generate(fitting))
        for prompt, length in zip(prompts, lengths, strict=True):
            why = f"the prompt has {length:,} tokens, {limit:,} fit the judge's context"
            keep(prompt, next(replies) if length <= limit else JudgeReply("", length, 0, why))

    def _generate(self, prompts: Sequence[JudgePrompt]) -> list[JudgeReply]:
        if not prompts:
            return []
        texts, seeds = [prompt.text for prompt in prompts], [prompt.seed for prompt in prompts]
        found = self.engine.try_generate("", texts, seeds, self.settings)
        return [JudgeReply(row.text, row.prompt_tokens, row.token_count, row.error) for row in found]
