"""Rows behind one copy of a prefix: the runner of models that cascade attention covers.

A row's own keys and values lie in slots that end where all rows' do; slots in front that no row uses are given up.
"""

from collections.abc import Sequence
from typing import Any

import torch

from models.lm.cascade_attention import CascadeState
from models.lm.length_buckets import length_buckets
from models.lm.padding import pad_left
from models.lm.row_runners import KeyValues
from models.lm.token_rows import TokenIds

MASKED = -1e30  # finite: a padding row of an all-masked line stays a number
GROWTH = 64  # slots by which a cache grows at least
SCORE_LIMIT = 16_000_000  # own attention scores of one chunk of a prefill, as floats


class CascadeRunner:
    """Rows behind one copy of a prefix."""

    def __init__(self, model: Any, prefix: KeyValues, capacity: int) -> None:
        """`capacity` is the largest number of own tokens a row will reach."""
        self.computed = self.padded = 0
        self.model, self.prefix, self.capacity = model, prefix, capacity
        self.state = CascadeState(prefix, [])
        self.padding = torch.empty(0, dtype=torch.int64)

    def read(self, rows: Sequence[TokenIds], keep: int = 1) -> torch.Tensor:
        """See `RowRunner`; prompts of different length are read apart, which saves padding."""
        buckets = length_buckets([len(row) for row in rows])
        if keep > 1 or len(buckets) == 1:
            return self._read_together(rows, keep)
        width = max(map(len, rows))
        self.state = CascadeState(self.prefix, self._new_cache(len(rows), width), written=width)
        self.padding = torch.zeros(len(rows), dtype=torch.int64, device=self.model.device)
        logits = []
        for bucket in buckets:
            logits.append(self._place(torch.tensor(bucket, device=self.padding.device), [rows[i] for i in bucket]))
        order = torch.tensor([place for bucket in buckets for place in bucket], device=self.padding.device)
        return torch.cat(logits)[order.argsort()][:, None]

    def _place(
        self, places: torch.Tensor, rows: Sequence[TokenIds], copies: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Read rows and put them, or the given copies of them, at `places`, to end with the others; (B', V) logits."""
        fresh = CascadeRunner(self.model, self.prefix, self.capacity)
        logits = fresh._read_together(rows, 1)[:, -1]
        self.computed += fresh.computed
        self.padded += fresh.padded
        copies = torch.arange(len(rows), device=places.device) if copies is None else copies
        end, width = self.state.written, fresh.state.written
        self.padding[places] = end - width + fresh.padding[copies]
        for (keys, values), (new_keys, new_values) in zip(self.state.own, fresh.state.own, strict=True):
            keys[places, :, end - width : end] = new_keys[copies, :, :width]
            values[places, :, end - width : end] = new_values[copies, :, :width]
        return logits[copies]

    def _read_together(self, rows: Sequence[TokenIds], keep: int) -> torch.Tensor:
        """Read rows as one padded batch; a long one in chunks, which bounds memory."""
        ids, mask = pad_left(rows, device=self.model.device)
        batch, width = ids.shape
        self.padding = width - mask.sum(-1)
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
        staying = torch.ones_like(self.padding, dtype=torch.bool)
        staying[places] = False
        longest = self.state.written - int(self.padding[staying].min()) if bool(staying.any()) else 0
        self._end_at(max(longest, *map(len, prompts)))
        logits = torch.empty(0)
        for bucket in length_buckets([len(prompt) for prompt in prompts]):
            index = torch.full((len(prompts),), -1, device=copies.device)
            index[bucket] = torch.arange(len(bucket), device=copies.device)
            taken = (index[copies] >= 0).nonzero().squeeze(-1)  # of the places
            read = self._place(places[taken], [prompts[i] for i in bucket], index[copies[taken]])
            if not len(logits):
                logits = read.new_empty(len(places), read.shape[-1])
            logits[taken] = read
        return logits

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

    def extend(self, tokens: torch.Tensor) -> torch.Tensor:
        """See `RowRunner`."""
        missing = self.state.written + tokens.shape[1] - self.state.own[0][0].shape[2]
        if missing > 0:
            self._grow(missing)
        return self._forward(tokens, tokens.shape[1])

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
