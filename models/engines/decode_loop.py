"""The decoding loop of one batch: choose, record, stop, and drop finished rows.

Rows that have finished stay in the batch until half of it has, then the batch is compacted: moving caches at every
end would cost more than the dead rows do.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from data_contracts.errors import EngineError
from models.engines.protocol import FinishReason, SamplingSettings
from models.engines.row_runners import RowRunner
from models.engines.sampling import choose_tokens
from models.engines.token_rows import TokenIds
from models.engines.vocabulary import StopStrings, Vocabulary


@dataclass
class DrawnRow:
    """What was drawn for one row so far."""

    seed: int
    tokens: TokenIds = field(default_factory=list)
    logprob: float = 0.0
    finish_reason: FinishReason = FinishReason.LENGTH


def complete_batch(
    runner: RowRunner,
    prompts: Sequence[TokenIds],
    prompt_of_row: Sequence[int],
    seeds: Sequence[int],
    settings: SamplingSettings,
    vocabulary: Vocabulary,
) -> list[DrawnRow]:
    """Complete a batch; each distinct prompt is read once, and row i continues `prompts[prompt_of_row[i]]`.

    Raises:
        EngineError: the model's log-probabilities are not finite.
    """
    logits = runner.read(prompts)[:, -1]
    place = torch.tensor(prompt_of_row, device=logits.device)
    if list(prompt_of_row) != list(range(len(prompts))):
        runner.select(place)
        logits = logits[place]
    drawn = [DrawnRow(seed) for seed in seeds]
    batch = _Batch(list(range(len(seeds))), _as_int64(seeds).to(logits.device))
    stops = vocabulary.stop_strings(settings.stop)
    for step in range(settings.max_new_tokens):
        tokens = _draw(batch, logits, step, settings, vocabulary, drawn)
        _finish(batch, tokens, drawn, vocabulary, stops)
        if step + 1 == settings.max_new_tokens or not any(batch.active):
            break
        if sum(batch.active) * 2 <= len(batch.active):
            kept = torch.tensor([i for i, on in enumerate(batch.active) if on], device=tokens.device)
            runner.select(kept)
            tokens = batch.select(kept, tokens)
        logits = runner.step(tokens)
    return drawn


def _as_int64(seeds: Sequence[int]) -> torch.Tensor:
    """Seeds of any size as the int64 with the same low 64 bits, (B,)."""
    return torch.tensor([((seed + 2**63) % 2**64) - 2**63 for seed in seeds], dtype=torch.int64)


@dataclass
class _Batch:
    """The rows now in the runner: their place among all rows, their seeds, and which are still being completed."""

    rows: list[int]
    seeds: torch.Tensor  # (B,)
    active: list[bool] = field(init=False)
    blank: torch.Tensor = field(init=False)  # (B,) only white space so far

    def __post_init__(self) -> None:
        self.active = [True] * len(self.rows)
        self.blank = torch.ones_like(self.seeds, dtype=torch.bool)

    def select(self, kept: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        places = kept.tolist()
        self.rows = [self.rows[i] for i in places]
        self.active = [self.active[i] for i in places]
        self.seeds, self.blank = self.seeds[kept], self.blank[kept]
        return tokens[kept]


def _draw(
    batch: _Batch,
    logits: torch.Tensor,
    step: int,
    settings: SamplingSettings,
    vocabulary: Vocabulary,
    drawn: list[DrawnRow],
) -> torch.Tensor:
    logprobs = torch.log_softmax(logits.float(), -1)  # (B, V)
    allowed = logprobs
    if settings.ban_empty and bool(batch.blank.any()):
        banned = vocabulary.ends_text(settings.stop)
        allowed = logprobs.masked_fill(batch.blank[:, None] & banned[None, :], -torch.inf)
        tokens = choose_tokens(allowed, batch.seeds, step, settings.temperature, settings.top_p)
        batch.blank &= vocabulary.blank[tokens]
    else:
        tokens = choose_tokens(allowed, batch.seeds, step, settings.temperature, settings.top_p)
    chosen = logprobs.gather(-1, tokens[:, None]).squeeze(-1)
    if not bool(chosen.isfinite().all()):
        raise EngineError(f"the model's log-probabilities are not finite at new token {step}; check weights and dtype")
    for row, active, token, logprob in zip(batch.rows, batch.active, tokens.tolist(), chosen.tolist(), strict=True):
        if active:
            drawn[row].tokens.append(token)
            drawn[row].logprob += logprob
    return tokens


def _finish(
    batch: _Batch, tokens: torch.Tensor, drawn: list[DrawnRow], vocabulary: Vocabulary, stops: StopStrings
) -> None:
    ended, perhaps = vocabulary.is_end[tokens].tolist(), stops.completing[tokens].tolist()
    for i, row in enumerate(batch.rows):
        if not batch.active[i]:
            continue
        if ended[i]:
            drawn[row].finish_reason = FinishReason.END
            batch.active[i] = False
        elif perhaps[i] and stops.cut(vocabulary.text(drawn[row].tokens)) is not None:
            drawn[row].finish_reason = FinishReason.STOP
            batch.active[i] = False
