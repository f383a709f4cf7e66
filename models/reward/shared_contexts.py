"""Reading several rows behind each of several contexts, every context once.

Unlike a few-shot prefix, a conversation is shared by its own candidates only, so a batch holds many contexts. Each is
read once and its keys and values are repeated for its rows: that costs memory, not arithmetic.
"""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import DynamicCache

from models.lm.padding import pad_left, positions_of
from models.lm.token_rows import TokenIds


def read_behind_contexts(
    model: Any,
    contexts: Sequence[TokenIds],
    rows_of_context: Sequence[int],
    ids: torch.Tensor,
    mask: torch.Tensor,
    positions_limit: int | None,
) -> torch.Tensor:
    """The model's output for B rows, each behind its context.

    Args:
        model: a causal transformers model, with or without a head; full attention.
        contexts: C token rows, any of them may be empty; they are padded on the left.
        rows_of_context: how many of the B rows follow each context, in order.
        ids: (B, S) the rows' own tokens, padded on the right.
        mask: (B, S) 1 where `ids` is not padding.
        positions_limit: the number of positions of the model, if it has one.
    Returns:
        The `logits` of the model's output.
    """
    of_row = torch.arange(len(contexts)).repeat_interleave(torch.tensor(rows_of_context)).to(ids.device)  # (B,)
    lengths = torch.tensor([len(context) for context in contexts], device=ids.device)
    cache = DynamicCache(config=model.config)
    if int(lengths.max()):
        padded, seen = pad_left(contexts, device=ids.device)  # (C, P)
        places = positions_of(seen)
        model.base_model(
            input_ids=padded, attention_mask=seen, position_ids=places, past_key_values=cache, use_cache=True
        )
        cache.batch_select_indices(of_row)
        mask = torch.cat((seen[of_row], mask), dim=1)
    positions = lengths[of_row][:, None] + torch.arange(ids.shape[1], device=ids.device)[None, :]
    if positions_limit is not None:
        positions = positions.clamp(max=positions_limit - 1)  # only padding lies beyond
    output = model(input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True)
    return output.logits
