"""Running a batch of rows through a model: read the prompts, then one token per row and step.

Rows are padded on the left, so that all rows write the same slot of a preallocated cache at each step, and a new row
can take the place of a finished one: its tokens end where the others' do. `CascadeRunner` keeps the shared prefix once;
`PlainRunner` feeds whole rows through transformers' own cache and serves models whose attention the cascade does not cover.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from transformers import DynamicCache

from models.lm.padding import pad_left, positions_of
from models.lm.token_rows import TokenIds

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

    def extend(self, tokens: torch.Tensor) -> torch.Tensor:
        """Append the same number of tokens to each row, (B, T); the logits behind each, (B, T, V)."""
        ...


def read_prefix(model: Any, prefix: TokenIds) -> KeyValues:
    """Keys and values of a prefix, a (1, H_kv, P, D) pair per layer; empty for an empty prefix."""
    if not prefix:
        return []
    cache = DynamicCache(config=model.config)
    model.base_model(torch.tensor([prefix], device=model.device), past_key_values=cache, use_cache=True)
    layers: list[Any] = list(cache.layers)
    return [(layer.keys, layer.values) for layer in layers]


class PlainRunner:
    """Whole rows through transformers' own cache: slower, and right for every causal model."""

    def __init__(self, model: Any, prefix: TokenIds) -> None:
        self.computed = self.padded = 0
        self.model, self.prefix = model, prefix
        self.cache: Any = None
        self.mask = torch.empty(0)

    def read(self, rows: Sequence[TokenIds], keep: int = 1) -> torch.Tensor:
        """See `RowRunner`."""
        ids, self.mask = pad_left([self.prefix + row for row in rows], device=self.model.device)
        self.computed += ids.numel()
        self.padded += ids.numel() - int(self.mask.sum())
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
        return self.extend(tokens[:, None])[:, -1]

    def extend(self, tokens: torch.Tensor) -> torch.Tensor:
        """See `RowRunner`."""
        self.mask = torch.cat((self.mask, self.mask.new_ones(tokens.shape)), dim=1)
        return self._forward(tokens, tokens.shape[1])

    def _forward(self, ids: torch.Tensor, keep: int) -> torch.Tensor:
        positions = positions_of(self.mask)[:, -ids.shape[1] :]
        output = self.model(
            input_ids=ids,
            attention_mask=self.mask,
            position_ids=positions,
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=keep,
        )
        return output.logits[:, -keep:]
