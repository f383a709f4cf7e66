"""The decoding loop: choose, record, stop; finished rows make room for new ones.

Finished rows stay in the batch until a quarter of its places is free, then waiting rows are read into those places;
when none wait, the batch is compacted once half of it has finished. (Moving caches at every end would cost more than
the dead rows do.) Which rows share a batch follows from the rows and their samples alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from data_contracts.errors import EngineError
from data_contracts.finish_reason import FinishReason
from models.engines.protocol import SamplingSettings
from models.lm.row_runners import RowRunner
from models.lm.sampling import draw_by_seed
from models.lm.token_rows import TokenIds
from models.lm.vocabulary import Vocabulary


@dataclass
class DrawnRow:
    """What was drawn for one row."""

    seed: int
    tokens: TokenIds = field(default_factory=list)
    logprob: float = 0.0
    finish_reason: FinishReason = FinishReason.LENGTH


def complete_rows(
    runner: RowRunner,
    prompts: Sequence[TokenIds],
    seeds: Sequence[int],
    settings: SamplingSettings,
    vocabulary: Vocabulary,
    batch_size: int,
) -> list[DrawnRow]:
    """Complete all prompts, at most `batch_size` at once, admitted in the order given.

    Equal prompts beside each other are read once. A runner that takes no new rows must get no more than fit at once.

    Raises:
        EngineError: the model's log-probabilities are not finite.
    """
    drawn = [DrawnRow(seed) for seed in seeds]
    waiting = list(range(len(prompts)))
    entering, waiting = waiting[:batch_size], waiting[batch_size:]
    distinct, copies = distinct_prompts([prompts[row] for row in entering])
    logits = runner.read(distinct)[:, -1]
    if len(distinct) < len(entering):
        copies = copies.to(logits.device)
        runner.select(copies)
        logits = logits[copies]
    batch = _Batch(entering, _as_int64(seeds).to(logits.device), settings, vocabulary)
    while True:
        tokens = batch.draw(logits, drawn)
        free = batch.free_places()
        if len(free) == len(batch.rows) and not waiting:
            return drawn
        if not waiting and len(free) * 2 >= len(batch.rows):
            tokens = batch.compact(runner, tokens)
            free = []
        if len(free) < len(batch.rows):
            logits = runner.step(tokens)
            runner.padded += len(free)
        if waiting and len(free) * 4 >= len(batch.rows):
            entering, waiting = waiting[: len(free)], waiting[len(free) :]
            places = torch.tensor(free[: len(entering)], device=logits.device)
            distinct, copies = distinct_prompts([prompts[row] for row in entering])
            logits[places] = runner.replace(places, distinct, copies.to(logits.device))
            batch.enter(places, entering)


def distinct_prompts(prompts: Sequence[TokenIds]) -> tuple[list[TokenIds], torch.Tensor]:
    """The prompts without repetitions of a neighbour, and for each prompt its place among them, (B,) int64."""
    distinct: list[TokenIds] = []
    copies = []
    for prompt in prompts:
        if not distinct or distinct[-1] != prompt:
            distinct.append(prompt)
        copies.append(len(distinct) - 1)
    return distinct, torch.tensor(copies)


def _as_int64(seeds: Sequence[int]) -> torch.Tensor:
    """Seeds of any size as the int64 with the same low 64 bits, (B,)."""
    return torch.tensor([((seed + 2**63) % 2**64) - 2**63 for seed in seeds], dtype=torch.int64)


class _Batch:
    """The rows now in the runner, by place: which they are, what was drawn for them, and whether they go on."""

    def __init__(
        self, rows: list[int], all_seeds: torch.Tensor, settings: SamplingSettings, vocabulary: Vocabulary
    ) -> None:
        self.rows, self.all_seeds, self.settings, self.vocabulary = rows, all_seeds, settings, vocabulary
        self.stops = vocabulary.stop_strings(settings.stop)
        device = all_seeds.device
        self.seeds = all_seeds[rows]  # (B,)
        self.active = torch.ones(len(rows), dtype=torch.bool, device=device)
        self.blank = self.active.clone()  # only white space so far
        self.count = torch.zeros(len(rows), dtype=torch.int64, device=device)
        self.logprob = torch.zeros(len(rows), dtype=torch.float64, device=device)
        self.tokens = torch.zeros(len(rows), settings.max_new_tokens, dtype=torch.int64, device=device)

    def free_places(self) -> list[int]:
        """Places of finished rows."""
        return [place for place, active in enumerate(self.active.tolist()) if not active]

    def enter(self, places: torch.Tensor, rows: list[int]) -> None:
        """New rows take the places (B',) of finished ones."""
        for place, row in zip(places.tolist(), rows, strict=True):
            self.rows[place] = row
        self.seeds[places] = self.all_seeds[rows]
        self.active[places], self.blank[places] = True, True
        self.count[places], self.logprob[places] = 0, 0.0

    def compact(self, runner: RowRunner, tokens: torch.Tensor) -> torch.Tensor:
        """Drop the finished rows here, in the runner and from `tokens`."""
        kept = self.active.nonzero().squeeze(-1)
        runner.select(kept)
        self.rows = [self.rows[place] for place in kept.tolist()]
        for name in ("seeds", "active", "blank", "count", "logprob", "tokens"):
            setattr(self, name, getattr(self, name)[kept])
        return tokens[kept]

    def draw(self, logits: torch.Tensor, drawn: list[DrawnRow]) -> torch.Tensor:
        """Draw a token per place, (B,), and store the rows that it ends in `drawn`."""
        settings, vocabulary = self.settings, self.vocabulary
        logprobs = torch.log_softmax(logits.float(), -1)  # (B, V)
        allowed = logprobs
        banning = settings.ban_empty and bool(self.blank.any())
        if banning:
            banned = vocabulary.ends_text(settings.stop)
            allowed = logprobs.masked_fill(self.blank[:, None] & banned[None, :], -torch.inf)
        tokens = draw_by_seed(allowed, self.seeds, self.count, settings.temperature, settings.top_p)
        if banning:
            self.blank &= vocabulary.blank[tokens]
        chosen = logprobs.gather(-1, tokens[:, None]).squeeze(-1)
        self.tokens.scatter_(1, self.count.clamp(max=settings.max_new_tokens - 1)[:, None], tokens[:, None])
        self.logprob += chosen.double().masked_fill(~self.active, 0.0)
        self.count += self.active
        self._finish(tokens, chosen, drawn)
        return tokens

    def _finish(self, tokens: torch.Tensor, chosen: torch.Tensor, drawn: list[DrawnRow]) -> None:
        full = self.count >= self.settings.max_new_tokens
        ended, perhaps = self.vocabulary.is_end[tokens], self.stops.completing[tokens]
        unusable = ~chosen.isfinite()
        noted = (self.active & (full | ended | perhaps | unusable)).nonzero().squeeze(-1)
        flags = torch.stack((noted, self.count[noted], *(x[noted].long() for x in (unusable, ended, full)))).T.tolist()
        for place, count, is_unusable, is_end, is_full in flags:
            if is_unusable:
                raise EngineError(
                    f"the model's log-probabilities are not finite at new token {count - 1}; check weights and dtype"
                )
            row = drawn[self.rows[place]]
            row.tokens = self.tokens[place, :count].tolist()
            if is_end:
                row.finish_reason = FinishReason.END
            elif self.stops.stops and self.stops.cut(self.vocabulary.text(row.tokens)) is not None:
                row.finish_reason = FinishReason.STOP
            elif not is_full:
                continue
            row.logprob = float(self.logprob[place])
            self.active[place] = False
