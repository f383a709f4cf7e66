"""Running a batch of rows through a model: read the prompts, then one token per row and step.

Rows are padded on the left, so that all rows write the same slot of a preallocated cache at each step, and a new row
can take the place of a finished one: its tokens end where the others' do. `CascadeRunner` keeps the shared prefix once; `PlainRunner` feeds whole rows through transformers' own cache and
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
    """A batch in the model, and what it has cost so far."""

    computed: int  # prompt positions run through the model, padding included
    padded: int  # positions run through the model that belong to no text: padding, and steps of finished rows

    def read(self, rows: Sequence[TokenIds], keep: int = 1) -> torch.Tensor:
        """Read the rows' own tokens; logits of the last `keep` positions, (B, keep, V)."""
        ...

    def select(self, rows: torch.Tensor) -> None:
        """Make the batch consist of the rows with these indices (int64)."""
        ...

    def replace(self, places: torch.Tensor, prompts: Sequence[TokenIds], copies: torch.Tensor) -> torch.Tensor:
        """Put new rows at `places` (B',): row i is `prompts[copies[i]]`; their logits, (B', V)."""
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
        self.computed = self.padded = 0
        self.model, self.prefix, self.capacity = model, prefix, capacity
        self.state = CascadeState(prefix, [])
        self.padding = torch.empty(0, dtype=torch.int64)

    def read(self, rows: Sequence[TokenIds], keep: int = 1) -> torch.Tensor:
        """See `RowRunner`; a long prompt is read in chunks, which bounds memory."""
        ids, self.padding = pad_left(rows, self.model.device)
        batch, width = ids.shape
        self.computed += ids.numel()
        self.padded += int(self.padding.sum())
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
        padding = self.padding[rows]
        empty = int(padding.min())  # slots in front that no row uses any more
        self.padding = padding - empty
        self.state.written -= empty
        self.state.own = [(keys[rows, :, empty:], values[rows, :, empty:]) for keys, values in self.state.own]

    def replace(self, places: torch.Tensor, prompts: Sequence[TokenIds], copies: torch.Tensor) -> torch.Tensor:
        """See `RowRunner`."""
        fresh = CascadeRunner(self.model, self.prefix, self.capacity)
        logits = fresh.read(prompts)[:, -1]
        self.computed += fresh.computed
        self.padded += fresh.padded
        width = fresh.state.written
        staying = torch.ones_like(self.padding, dtype=torch.bool)
        staying[places] = False
        longest = self.state.written - int(self.padding[staying].min()) if bool(staying.any()) else 0
        self._end_at(max(longest, width))
        end = self.state.written
        self.padding[places] = end - width + fresh.padding[copies]
        for (keys, values), (new_keys, new_values) in zip(self.state.own, fresh.state.own, strict=True):
            keys[places, :, end - width : end] = new_keys[copies, :, :width]
            values[places, :, end - width : end] = new_values[copies, :, :width]
        return logits[copies]

    def _end_at(self, slot: int) -> None:
        """Move all rows, so that their last tokens lie before `slot`; slots in front of them come or go."""
        shift = slot - self.state.written
        self.state.written, self.padding = slot, self.padding + shift
        if shift <= 0:
            self.state.own = [(keys[:, :, -shift:], values[:, :, -shift:]) for keys, values in self.state.own]
            return
        front = self._new_cache(len(self.padding), shift)
        self.state.own = _joined(front, self.state.own)

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        """See `RowRunner`."""
        held = self.state.own[0][0].shape[2]
        if self.state.written == held:
            slots = max(held // 2, GROWTH)
            self._grow(min(slots, self.capacity - held) if held < self.capacity else slots)
        return self._forward(tokens[:, None], 1)[:, -1]

    def _forward(self, ids: torch.Tensor, keep: int) -> torch.Tensor:
        start, new = self.state.written, ids.shape[1]
        slots = torch.arange(start + new, device=ids.device)
        queries = slots[start:]
        hidden = (slots[None, None, :] > queries[None, :, None]) | (slots[None, None, :] < self.padding[:, None, None])
        mask = torch.zeros(hidden.shape, device=ids.device).masked_fill_(hidden, MASKED)[:, None]  # (B, 1, T, S)
        # A finished row may run past its end before it is replaced; its positions stay within the model's.
        own = (queries[None, :] - self.padding[:, None]).clamp(min=0, max=self.capacity - 1)
        positions = self.state.prefix_length + own
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
        self.state.own = _joined(self.state.own, self._new_cache(len(self.padding), slots))


def _joined(left: KeyValues, right: KeyValues) -> KeyValues:
    """Caches with the slots of both, `left` first."""
    return [(torch.cat((a[0], b[0]), dim=2), torch.cat((a[1], b[1]), dim=2)) for a, b in zip(left, right, strict=True)]


class PlainRunner:
    """Whole rows through transformers' own cache: slower, and right for every causal model."""

    def __init__(self, model: Any, prefix: TokenIds) -> None:
        self.computed = self.padded = 0
        self.model, self.prefix = model, prefix
        self.cache: Any = None
        self.mask = torch.empty(0)

    def read(self, rows: Sequence[TokenIds], keep: int = 1) -> torch.Tensor:
        """See `RowRunner`."""
        ids, padding = pad_left([self.prefix + row for row in rows], self.model.device)
        self.computed += ids.numel()
        self.padded += int(padding.sum())
        self.mask = (torch.arange(ids.shape[1], device=ids.device)[None, :] >= padding[:, None]).long()
        self.cache = DynamicCache(config=self.model.config)
        return self._forward(ids, keep)

    def select(self, rows: torch.Tensor) -> None:
        """See `RowRunner`."""
        self.mask = self.mask[rows]
        self.cache.batch_select_indices(rows)

    def replace(self, places: torch.Tensor, prompts: Sequence[TokenIds], copies: torch.Tensor) -> torch.Tensor:
        """Not possible: transformers' caches may be windows or hold states that cannot be moved."""
        raise NotImplementedError

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
