"""Log-likelihood of options behind contexts: every context is read once, whatever the number of its options.

The first token of an option is predicted by the context's last position, so options of one token cost nothing more.
As in lm-eval, white space at the seam belongs to the option, and context and option are tokenised together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from data_contracts.errors import ConfigError
from models.lm.padding import pad_right
from models.lm.row_runners import RowRunner
from models.lm.token_rows import TokenIds, encode_rows


@dataclass(frozen=True)
class OptionScore:
    """Summed log-probability (nats) of an option's tokens, and whether each of them was the likeliest in its place.

    `is_greedy` is None where that is not known.
    """

    logprob: float
    is_greedy: bool | None


@dataclass(frozen=True)
class OptionRows:
    """Distinct contexts as token rows, and for every option, in order, its context's number and its own tokens."""

    contexts: list[TokenIds]
    options: list[tuple[int, TokenIds]]


def encode_options(tokenizer: Any, items: Sequence[tuple[str, Sequence[str]]], prefix: str) -> OptionRows:
    """Token rows of (context, options) items behind one prefix.

    Raises:
        ConfigError: a context is empty and the tokenizer has no BOS token to stand for it.
    """
    texts: list[tuple[str, list[str]]] = []
    for context, wanted in items:
        whole = prefix + context
        texts.append((whole.rstrip(), [whole + option for option in wanted]))
    reads = iter(encode_rows(tokenizer, [read for read, _ in texts]))
    wholes = iter(encode_rows(tokenizer, [whole for _, wanted in texts for whole in wanted]))
    numbers: dict[tuple[int, ...], int] = {}
    options: list[tuple[int, TokenIds]] = []
    for _, rows in texts:
        length = len(next(reads))
        if not length:
            raise ConfigError("an option needs a context to follow: this tokenizer has no BOS token")
        for _ in rows:
            ids = next(wholes)
            options.append((numbers.setdefault(tuple(ids[:length]), len(numbers)), ids[length:]))
    return OptionRows([list(context) for context in numbers], options)


def score_batch(
    runner: RowRunner, contexts: Sequence[TokenIds], options: Sequence[tuple[int, TokenIds]]
) -> list[OptionScore]:
    """The score of each option's tokens behind `contexts[number]`."""
    logits = runner.read(contexts)[:, -1]
    likeliest = logits.argmax(-1).tolist()
    first = torch.log_softmax(logits.float(), -1)  # (C, V)
    scores = [OptionScore(0.0, True)] * len(options)
    worded = [place for place, (_, ids) in enumerate(options) if ids]
    if worded:
        numbers, tokens = [options[p][0] for p in worded], [options[p][1][0] for p in worded]
        for place, score in zip(worded, first[numbers, tokens].double().tolist(), strict=True):
            number, ids = options[place]
            scores[place] = OptionScore(score, likeliest[number] == ids[0])
    longer = [place for place in worded if len(options[place][1]) > 1]
    if longer:
        rows = [options[place][1] for place in longer]
        runner.select(torch.tensor([options[place][0] for place in longer], device=logits.device))
        for place, rest in zip(longer, _rest(runner, rows, logits.device), strict=True):
            begun = scores[place]
            scores[place] = OptionScore(begun.logprob + rest.logprob, bool(begun.is_greedy and rest.is_greedy))
    return scores


def _rest(runner: RowRunner, rows: Sequence[TokenIds], device: torch.device) -> list[OptionScore]:
    """The score of all tokens of each row but its first; the runner's rows are their contexts."""
    read, mask = pad_right([row[:-1] for row in rows], device=device)  # (B, T)
    predicted, _ = pad_right([row[1:] for row in rows], device=device)
    real = mask.bool()
    logits = runner.extend(read)
    greedy = ((logits.argmax(-1) == predicted) | ~real).all(-1).tolist()
    logprobs = torch.log_softmax(logits.float(), -1).gather(-1, predicted[..., None]).squeeze(-1)
    sums = logprobs.double().masked_fill(~real, 0.0).sum(-1).tolist()
    return [OptionScore(score, flag) for score, flag in zip(sums, greedy, strict=True)]
