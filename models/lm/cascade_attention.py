"""Cascade attention: one copy of the shared prefix's keys and values, attended by all rows as one matrix product.

A row's attention over prefix and own tokens is the two parts' attention, merged by their log-sum-exp. The prefix is
thus kept once instead of once per row, and read once per step. Enters transformers through its attention interface;
calls without `cascade=` are ordinary scaled-dot-product attention.

What it does not know: sliding windows, soft caps, attention sinks, ALiBi. `supports_cascade` sends models that have
one of these to the plain path.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

CASCADE = "almost_cascade"
SCORE_TILE = 4_000_000  # prefix scores held at once, as floats; bounds memory in long prefills
# Model types whose attention is softmax(q k^T) v over all earlier tokens and whose layers pass keyword arguments on.
# Each was compared with its own scaled-dot-product path; tests/models/lm/test_cascade_attention.py repeats that.
PLAIN_CAUSAL_TYPES = frozenset(
    {
        "llama", "mistral", "mixtral", "qwen2", "qwen3", "qwen3_moe", "olmo", "olmo2", "smollm3", "granite", "phi",
        "phi3", "gpt_neox", "gpt2", "gemma", "starcoder2", "glm", "opt", "helium", "seed_oss", "arcee", "ernie4_5",
    }
)  # fmt: skip
STATIC_ROPE = frozenset({"default", "linear", "llama3", "yarn"})  # the others change with the length of the text


@dataclass
class CascadeState:
    """Keys and values of a batch: `prefix[layer]` = (1, H_kv, P, D) pairs, `own[layer]` = (B, H_kv, S, D) pairs."""

    prefix: list[tuple[torch.Tensor, torch.Tensor]]
    own: list[tuple[torch.Tensor, torch.Tensor]]
    written: int = 0  # slots of `own` that hold tokens
    prefix_length: int = field(init=False)

    def __post_init__(self) -> None:
        self.prefix_length = self.prefix[0][0].shape[2] if self.prefix else 0


def supports_cascade(config: Any) -> bool:
    """Whether a model's configuration names nothing that cascade attention leaves out."""
    if config.model_type not in PLAIN_CAUSAL_TYPES:
        return False
    windowed = getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True)
    layer_types = set(getattr(config, "layer_types", None) or ["full_attention"])
    capped = getattr(config, "attn_logit_softcapping", None)
    rope = (getattr(config, "rope_parameters", None) or {}).get("rope_type", "default")
    return not windowed and not capped and layer_types == {"full_attention"} and rope in STATIC_ROPE


def cascade_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    cascade: CascadeState | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Attention of T new tokens per row; `query` (B, H, T, D), `key` and `value` (B, H_kv, T, D).

    `attention_mask` is additive, (B, 1, T, S) over the row's own slots 0..S. Returns ((B, T, H, D), None).
    """
    if cascade is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **kwargs)
    layer: Any = module.layer_idx
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    assert attention_mask is not None  # the runner always passes one: without it padding and causality would vanish
    keys, values = cascade.own[layer]
    start, end = cascade.written, cascade.written + key.shape[2]
    keys[:, :, start:end], values[:, :, start:end] = key, value
    rows, heads, new, width = query.shape
    kv_heads = key.shape[1]
    grouped = (query * scale).reshape(rows, kv_heads, -1, width)  # (B, H_kv, G*T, D): a group shares its keys
    part = _own_part(grouped, keys[:, :, :end], values[:, :, :end], attention_mask)
    if cascade.prefix_length:
        part = _merge(part, _prefix_part(grouped, *cascade.prefix[layer]))
    total, _, mass = part
    output = (total / mass).to(query.dtype).reshape(rows, heads, new, width)
    return output.transpose(1, 2).contiguous(), None


Part = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
"""Unnormalised attention: weighted values (B, H_kv, N, D), the scores' maximum and the mass, (B, H_kv, N, 1) each."""


def _own_part(query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor) -> Part:
    """Attention of (B, H_kv, G*T, D) queries over the row's own (B, H_kv, S, D) keys under a (B, 1, T, S) mask."""
    scores = query @ keys.transpose(2, 3)  # (B, H_kv, G*T, S)
    new = mask.shape[2]
    by_head = scores.unflatten(2, (-1, new)) if new > 1 else scores.unsqueeze(3)
    scores = (by_head.float() + mask.unsqueeze(2)).reshape(scores.shape)
    return _exponentiate(scores, values)


def _prefix_part(query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> Part:
    """Attention of all rows' queries over the one prefix: (B, H_kv, N, D) x (1, H_kv, P, D), as one GEMM per head."""
    rows, _, per_row, _ = query.shape
    stacked = query.transpose(0, 1).flatten(1, 2)  # (H_kv, B*N, D): the rows are one long text to the prefix
    part = _fused_part(stacked, keys, values) if query.device.type == "cpu" else _tiled_part(stacked, keys, values)
    return tuple(x.unflatten(1, (rows, per_row)).transpose(0, 1) for x in part)  # type: ignore[return-value]


def _fused_part(stacked: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> Part:
    """torch's own kernel, which keeps scores in the processor's cache; it returns the log-sum-exp beside the output.

    The public function hides the log-sum-exp. Here the mass is 1 and the maximum is the log-sum-exp itself.
    """
    kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    output, log_mass = kernel(stacked[None], keys, values, scale=1.0)  # (1, H_kv, B*N, D), (1, H_kv, B*N)
    highest = log_mass[0, ..., None].float()
    return output[0].float(), highest, torch.ones_like(highest)


def _tiled_part(stacked: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> Part:
    """The same in plain operations, a tile of queries at a time."""
    tile = max(1, SCORE_TILE // (stacked.shape[0] * keys.shape[2]))
    transposed = keys[0].transpose(1, 2)
    parts = [_exponentiate((piece @ transposed).float(), values[0]) for piece in stacked.split(tile, dim=1)]
    return tuple(torch.cat(piece, dim=1) if len(parts) > 1 else piece[0] for piece in zip(*parts, strict=True))  # type: ignore[return-value]


def _exponentiate(scores: torch.Tensor, values: torch.Tensor) -> Part:
    highest = scores.amax(-1, keepdim=True)
    weights = scores.sub_(highest).exp_()
    return (weights.to(values.dtype) @ values).float(), highest, weights.sum(-1, keepdim=True)


def _merge(a: Part, b: Part) -> Part:
    highest = torch.maximum(a[1], b[1])
    weight_a, weight_b = (a[1] - highest).exp_(), (b[1] - highest).exp_()
    return a[0] * weight_a + b[0] * weight_b, highest, a[2] * weight_a + b[2] * weight_b


AttentionInterface.register(CASCADE, cascade_attention)
# Without a mask function of the same name transformers passes no mask at all, and causality vanishes silently.
AttentionMaskInterface.register(CASCADE, sdpa_mask)
