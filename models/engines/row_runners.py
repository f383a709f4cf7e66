"""Running a batch of rows through a model: read the prompts, then one token per row and step.

Rows are padded on the left, so that all rows write the same slot of a preallocated cache at each step.
`CascadeRunner` keeps the shared prefix once; `PlainRunner` feeds whole rows through transformers' own cache and
serves the models whose attention the cascade does not cover.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from transformers import DynamicCache

from models.engines.cascade_attention import CascadeState
from models.engines.token_rows import TokenIds

MASKED = -1e30  # finite: a padding row of an all-masked line stays a number
GROWTH = 64  # slots by which a cache grows at least
SCORE_LIMIT = 16_000_000  # own attention scores of one chunk of a prefill, as floats

KeyValues = list[tuple[torch.Tensor, torch.Tensor]]


class RowRunner(Protocol):
    """A batch in the model; `select` keeps or repeats rows."""

    def read(self, rows: Sequence[TokenIds], keep: int = 1) -> torch.Tensor:
        """Read the rows' own tokens; logits of the last `keep` positions, (B, keep, V)."""
        ...

    def select(self, rows: torch.Tensor) -> None:
        """Make the batch consist of the rows with these indices (int64)."""
        ...

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        """Append one token to each row, (B,); the next logits, (B, V)."""
        ...


def read_prefix(model: Any, prefix: TokenIds) -> KeyValues:
    """Keys and values of a prefix, a (1, H_kv, P, D) pair per layer; empty for an empty prefix."""
    if not prefix:
        return []
    cache = DynamicCache(config=model.config)
    model.base_model(torch.tensor([prefix], device=model.device), past_key_values=cache, use_cache=True)
    layers: list[Any] = list(cache.layers)
    return [(layer.keys, layer.values) for layer in layers]


def pad_left(rows: Sequence[TokenIds], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids (B, S), padded on the left with 0, and the number of padding slots per row (B,)."""
    width = max(map(len, rows))
    padded = torch.tensor([[0] * (width - len(row)) + list(row) for row in rows], device=device)
    return padded, torch.tensor([width - len(row) for row in rows], device=device)


class CascadeRunner:
    """Rows behind one copy of a prefix."""

    def __init__(self, model: Any, prefix: KeyValues, capacity: int) -> None:
        """`capacity` is the largest number of own tokens a row will reach."""
        self.model, self.prefix, self.capacity = model, prefix, capacity
        self.state = CascadeState(prefix, [])
        self.padding = torch.empty(0, dtype=torch.int64)

    def read(self, rows: Sequence[TokenIds], keep: int = 1) -> torch.Tensor:
        """See `RowRunner`; a long prompt is read in chunks, which bounds memory."""
        ids, self.padding = pad_left(rows, self.model.device)
        batch, width = ids.shape
        self.state = CascadeState(self.prefix, self._new_cache(batch, width))
        chunk = max(1, SCORE_LIMIT // (batch * self.model.config.num_attention_heads * width))
        logits = []
        for start in range(0, width, chunk):
            piece = ids[:, start : start + chunk]
            wanted = min(max(start + piece.shape[1] - (width - keep), 0), piece.shape[1])
            output = self._forward(piece, max(wanted, 1))
            logits.append(output[:, output.shape[1] - wanted :])
        return torch.cat(logits, dim=1)

    def select(self, rows: torch.Tensor) -> None:
        """See `RowRunner`."""
        self.padding = self.padding[rows]
        self.state.own = [(keys[rows], values[rows]) for keys, values in self.state.own]

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        """See `RowRunner`."""
        held = self.state.own[0][0].shape[2]
        if self.state.written == held:
            self._grow(min(max(held // 2, GROWTH), self.capacity - held))
        return self._forward(tokens[:, None], 1)[:, -1]

    def _forward(self, ids: torch.Tensor, keep: int) -> torch.Tensor:
        start, new = self.state.written, ids.shape[1]
        slots = torch.arange(start + new, device=ids.device)
        queries = slots[start:]
        hidden = (slots[None, None, :] > queries[None, :, None]) | (slots[None, None, :] < self.padding[:, None, None])
        mask = torch.zeros(hidden.shape, device=ids.device).masked_fill_(hidden, MASKED)[:, None]  # (B, 1, T, S)
        positions = self.state.prefix_length + (queries[None, :] - self.padding[:, None]).clamp(min=0)
        output = self.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            use_cache=False,
            logits_to_keep=keep,
            cascade=self.state,
        )
        self.state.written += new
        return output.logits

    def _new_cache(self, batch: int, slots: int) -> KeyValues:
        config = self.model.config
        heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        shape = (batch, heads, slots, width)
        like = {"dtype": self.model.dtype, "device": self.model.device}
        return [(torch.zeros(shape, **like), torch.zeros(shape, **like)) for _ in range(config.num_hidden_layers)]

    def _grow(self, slots: int) -> None:
        batch = self.state.own[0][0].shape[0]
        fresh = self._new_cache(batch, slots)
        self.state.own = [
            (torch.cat((old[0], new[0]), dim=2), torch.cat((old[1], new[1]), dim=2))
            for old, new in zip(self.state.own, fresh, strict=True)
        ]


class PlainRunner:
    """Whole rows through transformers' own cache: slower, and right for every causal model."""

    def __init__(self, model: Any, prefix: TokenIds) -> None:
        self.model, self.prefix = model, prefix
        self.cache: Any = None
        self.mask = torch.empty(0)

    def read(self, rows: Sequence[TokenIds], keep: int = 1) -> torch.Tensor:
        """See `RowRunner`."""
        ids, padding = pad_left([self.prefix + row for row in rows], self.model.device)
        self.mask = (torch.arange(ids.shape[1], device=ids.device)[None, :] >= padding[:, None]).long()
        self.cache = DynamicCache(config=self.model.config)
        return self._forward(ids, keep)

    def select(self, rows: torch.Tensor) -> None:
        """See `RowRunner`."""
        self.mask = self.mask[rows]
        self.cache.batch_select_indices(rows)

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        """See `RowRunner`."""
        self.mask = torch.cat((self.mask, self.mask.new_ones(len(tokens), 1)), dim=1)
        return self._forward(tokens[:, None], 1)[:, -1]

    def _forward(self, ids: torch.Tensor, keep: int) -> torch.Tensor:
        positions = (self.mask.cumsum(-1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        output = self.model(
            input_ids=ids,
            attention_mask=self.mask,
            position_ids=positions,
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=keep,
        )
        return output.logits[:, -keep:]
