"""Judges behind one seam: a text generation engine (local model or server), and the tiny world's gold judge.

A judge answers prompts with raw replies; reading them is `judge_reply`'s business, so a gold judge is read like any
other. A reply that a server refuses to give is a failure of that row, not of the run.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from models.engines.protocol import Engine, SamplingSettings
from models.evaluation.judging.judge_reply import HIGHEST, LOWEST
from models.tiny_world.judge import GoldJudge


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

    def ask(self, prompts: Sequence[JudgePrompt], keep: Callable[[JudgePrompt, JudgeReply], None]) -> None: ...


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


class GoldReplies:
    """The tiny world's judge, replying as any judge does: scores from 1 to 10, then what is wrong."""

    rows_at_once = 1000

    def __init__(self, judge: GoldJudge) -> None:
        self._judge = judge

    def ask(self, prompts: Sequence[JudgePrompt], keep: Callable[[JudgePrompt, JudgeReply], None]) -> None:
        """Hand each reply to `keep`; a question that is not of this world is a failure."""
        for prompt in prompts:
            keep(prompt, self._reply(prompt))

    def _reply(self, prompt: JudgePrompt) -> JudgeReply:
        judged = [self._judge.score(prompt.question, answer) for answer in (prompt.first, prompt.second)]
        first, second = judged
        if first is None or second is None:
            return JudgeReply("", failure="the question is not about this world")
        scores = [LOWEST + (HIGHEST - LOWEST) * found.score for found in (first, second)]
        told = [
            f"Assistant {place}: {found.critique or 'Nothing is wrong.'}"
            for place, found in enumerate((first, second), 1)
        ]
        return JudgeReply(f"{scores[0]:.2f} {scores[1]:.2f}\n" + "\n".join(told))
