"""Batches for pre-training: short rows first, then packed blocks, all laid out before the first step.

The whole plan is a function of the documents and a seed, so a resumed job reads the same batches. Not in any paper.
It knows nothing of models.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from data_contracts.errors import ConfigError
from data_contracts.tables.documents import Document, DocumentKind

Tokens = npt.NDArray[np.int64]
Marks = npt.NDArray[np.bool_]
IGNORED = -100
HUMAN, ASSISTANT = "Human:", "Assistant:"
ENCODED_AT_ONCE = 10_000  # documents


@dataclass(frozen=True)
class Batch:
    """Rows of one step, padded on the right.

    `watched` marks targets (B, T) whose loss tells what a model has learnt: `copy` (see `copy_targets`), `recall` and `order`.
    """

    inputs: Tokens  # (B, T)
    targets: Tokens  # (B, T), IGNORED where padded
    watched: Mapping[str, Marks]


@dataclass(frozen=True)
class BatchPlan:
    """All rows of a run: `short` ones grouped by step, then `blocks` of equal length."""

    short: tuple[tuple[Tokens, ...], ...]
    blocks: Tokens  # (rows, block_length + 1)
    rows_per_step: int
    pad_id: int
    human_id: int
    assistant_id: int
    fact_ids: Tokens
    attribute_ids: Tokens

    @property
    def steps(self) -> int:
        """Steps of the run."""
        return len(self.short) + len(self.blocks) // self.rows_per_step

    def batch(self, step: int) -> Batch:
        """The batch of a step, counted from 0."""
        if step < len(self.short):
            rows: Sequence[Tokens] = self.short[step]
        else:
            first = (step - len(self.short)) * self.rows_per_step
            rows = list(self.blocks[first : first + self.rows_per_step])
        longest = max(len(row) for row in rows)
        padded = np.full((len(rows), longest), self.pad_id, dtype=np.int64)
        targets = np.full((len(rows), longest - 1), IGNORED, dtype=np.int64)
        for i, row in enumerate(rows):
            padded[i, : len(row)] = row
            targets[i, : len(row) - 1] = row[1:]
        markers = self.human_id, self.assistant_id
        watched = {
            "copy": copy_targets(padded, *markers),
            "recall": recall_targets(padded, *markers, self.fact_ids),
            "order": order_targets(padded, *markers, self.attribute_ids),
        }
        return Batch(padded[:, :-1], targets, watched)


def copy_targets(tokens: Tokens, human_id: int, assistant_id: int) -> Marks:
    """Which targets are the first token of an answer and occur in the question before it: the name to be copied.

    tokens: (B, T+1), targets are tokens[:, 1:]; returns (B, T).
    """
    marks = np.zeros((tokens.shape[0], tokens.shape[1] - 1), dtype=bool)
    for row, at in np.argwhere(tokens[:, :-1] == assistant_id):
        humans = np.flatnonzero(tokens[row, :at] == human_id)
        if humans.size:
            marks[row, at] = tokens[row, at + 1] in tokens[row, humans[-1] + 1 : at]
    return marks


def recall_targets(tokens: Tokens, human_id: int, assistant_id: int, fact_ids: Tokens) -> Marks:
    """Which targets are one of `fact_ids` in an answer and stand nowhere before in their row: facts to be known by heart.

    tokens: (B, T+1), targets are tokens[:, 1:]; returns (B, T).
    """
    marks = np.zeros((tokens.shape[0], tokens.shape[1] - 1), dtype=bool)
    for row, at in np.argwhere(np.isin(tokens[:, 1:], fact_ids)):
        before = tokens[row, : at + 1]
        turns = before[(before == human_id) | (before == assistant_id)]
        marks[row, at] = turns.size > 0 and turns[-1] == assistant_id and tokens[row, at + 1] not in before
    return marks


def order_targets(tokens: Tokens, human_id: int, assistant_id: int, attribute_ids: Tokens) -> Marks:
    """Which targets are the second or a later thing asked for: one of `attribute_ids` in an answer that has named one
    before, and whose question holds it. Only the order of the question tells which of them is next.

    tokens: (B, T+1), targets are tokens[:, 1:]; returns (B, T).
    """
    marks = np.zeros((tokens.shape[0], tokens.shape[1] - 1), dtype=bool)
    for row, at in np.argwhere(np.isin(tokens[:, 1:], attribute_ids)):
        before = tokens[row, : at + 1]
        humans, assistants = np.flatnonzero(before == human_id), np.flatnonzero(before == assistant_id)
        if humans.size and assistants.size and humans[-1] < assistants[-1]:
            question, answer = before[humans[-1] : assistants[-1]], before[assistants[-1] :]
            marks[row, at] = tokens[row, at + 1] in question and bool(np.isin(answer, attribute_ids).any())
    return marks


def plan_batches(
    short_documents: Sequence[Tokens],
    long_documents: Sequence[Tokens],
    *,
    tokens: int,
    tokens_per_step: int,
    short_share: float,
    block_length: int,
    seed: int,
    special_ids: tuple[int, int, int],
    fact_ids: Sequence[int] = (),
    attribute_ids: Sequence[int] = (),
) -> BatchPlan:
    """Lay out about `tokens` training tokens; documents are read again, in a new order, when they run out.

    `special_ids` are the pad, human-marker and assistant-marker ids, `fact_ids` those of words that state facts, and
    `attribute_ids` those of words for what may be asked. A document carries its BOS and EOS already.
    """
    rng = np.random.default_rng([seed, 4])
    steps = max(1, tokens // tokens_per_step)
    short_steps = round(steps * short_share) if long_documents else steps
    short = _group_rows(short_documents, short_steps if short_documents else 0, tokens_per_step, block_length, rng)
    rows_per_step = max(1, round(tokens_per_step / block_length))
    blocks = _pack(long_documents, (steps - len(short)) * rows_per_step, block_length, rng)
    words = (np.array(ids, dtype=np.int64) for ids in (fact_ids, attribute_ids))
    return BatchPlan(short, blocks, rows_per_step, *special_ids, *words)


def _group_rows(
    documents: Sequence[Tokens], steps: int, tokens_per_step: int, longest: int, rng: np.random.Generator
) -> tuple[tuple[Tokens, ...], ...]:
    """Whole documents, cut at `longest` tokens, `tokens_per_step` of them a step."""
    groups = []
    order: list[int] = []
    for _ in range(steps):
        group: list[Tokens] = []
        while sum(len(row) for row in group) < tokens_per_step:
            order = order or rng.permutation(len(documents)).tolist()
            group.append(documents[order.pop()][: longest + 1])
        groups.append(tuple(group))
    return tuple(groups)


def _pack(documents: Sequence[Tokens], rows: int, block_length: int, rng: np.random.Generator) -> Tokens:
    """Documents end to end, cut into blocks that overlap by the one token that is only a target."""
    wanted = rows * block_length + 1
    pieces: list[Tokens] = []
    have = 0
    while rows and have < wanted:
        for i in rng.permutation(len(documents)):
            pieces.append(documents[i])
            have += len(documents[i])
            if have >= wanted:
                break
    if not pieces:
        return np.zeros((0, block_length + 1), dtype=np.int64)
    starts = np.arange(rows)[:, None] * block_length
    return np.concatenate(pieces)[starts + np.arange(block_length + 1)[None, :]]


def read_documents(corpus: Sequence[Path], tokenizer: Any) -> tuple[list[Tokens], list[Tokens]]:
    """Token arrays, BOS first and EOS last, of the single-turn documents and of all others.

    Raises:
        ConfigError: the corpus is empty, or the tokenizer does not know the turn markers.
    """
    for marker in (HUMAN, ASSISTANT):
        if tokenizer.convert_tokens_to_ids(marker) in (None, tokenizer.unk_token_id):
            raise ConfigError(f"the tokenizer has no token '{marker}'; train it with models.tiny_world.tokenizer")
    short: list[Tokens] = []
    long: list[Tokens] = []
    documents = Document.read_files(corpus)
    while part := list(islice(documents, ENCODED_AT_ONCE)):
        encoded = tokenizer([document.text for document in part], add_special_tokens=True)["input_ids"]
        for document, ids in zip(part, encoded, strict=True):
            tokens = np.array([*ids, tokenizer.eos_token_id], dtype=np.int64)
            (short if document.kind is DocumentKind.SINGLE_TURN else long).append(tokens)
    if not short and not long:
        raise ConfigError(f"the corpus {corpus[0]} (and its other parts) holds no documents")
    return short, long
