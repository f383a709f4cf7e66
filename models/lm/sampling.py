"""Choosing the next token of each row: greedy, or at a temperature, from the whole distribution or from its nucleus.

Two draws of the same distribution stand here, because stored results depend on both. The noise of either belongs to the
row, so that a row's sample depends neither on its batch nor on the device's generator.
1. `draw_by_seed`, the engines' draw: Gumbel noise and argmax. A row brings one seed; the noise is a counter-based function
   of (row seed, step, token id), so only the tokens that may be drawn need noise, in any order, and a row that moves in
   its batch keeps its noise.
2. `draw_by_uniforms`, the rollouts' draw: one uniform number per row and position inverts the cumulative distribution over
   all tokens in order. It gives the nucleus back, which later passes over the response must repeat.

Departure from the usual samplers: no `torch.multinomial`, whose generator is shared by all rows. Greedy choice, at
temperature 0, is the engines' alone.
"""

import torch

from models.lm.nucleus import nucleus, nucleus_floor

NUCLEUS_CANDIDATES = 128  # tokens looked at before the whole row is sorted
_GOLDEN = -7046029254386353131  # 0x9E3779B97F4A7C15 as int64; the splitmix64 increment
_MIX_1 = -4658895280553007687  # 0xBF58476D1CE4E5B9
_MIX_2 = -7723592293110705685  # 0x94D049BB133111EB


def draw_by_uniforms(
    logits: torch.Tensor, numbers: torch.Tensor, temperature: float, top_p: float
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Draw one token per row by inverting its cumulative distribution.

    Args:
        logits: (B, V) float32; -inf marks tokens that may not be drawn.
        numbers: (B,) float64 in [0, 1).
    Returns:
        (B,) int64 token ids, and the nucleus they were drawn from, bool (B, V), None when `top_p` is 1.
    """
    scaled = logits / temperature
    allowed = nucleus(scaled, top_p) if top_p < 1 else None
    return invert_cumulative(scaled if allowed is None else scaled.masked_fill(~allowed, -torch.inf), numbers), allowed


def invert_cumulative(logits: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
    """The tokens (B,) at which the cumulative distribution of softmax(logits) (B, V) passes uniform `numbers` (B,)."""
    cumulative = torch.softmax(logits, dim=-1).double().cumsum(dim=-1)
    targets = (numbers * cumulative[:, -1]).unsqueeze(1)
    # right=True: the first entry above the target, so a token of probability zero is never chosen.
    return torch.searchsorted(cumulative, targets, right=True).squeeze(1).clamp(max=logits.shape[-1] - 1)


def draw_by_seed(
    logits: torch.Tensor, seeds: torch.Tensor, step: int | torch.Tensor, temperature: float, top_p: float
) -> torch.Tensor:
    """Draw one token per row by Gumbel noise of its seed; the likeliest token at temperature 0.

    Args:
        logits: (B, V) float32; -inf marks tokens that may not be drawn.
        seeds: (B,) int64, one per row.
        step: how many tokens the rows have already drawn, one number for all or (B,) int64.
    Returns:
        (B,) int64 token ids.
    """
    if temperature == 0:
        return logits.argmax(-1)
    steps = torch.as_tensor(step, device=seeds.device).expand_as(seeds)
    logprobs = torch.log_softmax(logits.float() / temperature, -1)
    if top_p == 1:
        return _gumbel_max(logprobs, seeds, steps)
    likeliest = logprobs.topk(min(NUCLEUS_CANDIDATES, logprobs.shape[-1]), dim=-1)
    floor = nucleus_floor(likeliest.values, likeliest.values.exp(), top_p)
    whole = (likeliest.values[:, -1:] < floor).squeeze(-1)  # the candidates surely hold the whole nucleus with its ties
    among = likeliest.values.masked_fill(likeliest.values < floor, -torch.inf)
    drawn = _gumbel_max(among, seeds, steps, likeliest.indices)
    wide = (~whole).nonzero().squeeze(-1)
    if len(wide):
        wide_logprobs = logprobs[wide]
        ordered = wide_logprobs.sort(dim=-1, descending=True).values
        among = wide_logprobs.masked_fill(wide_logprobs < nucleus_floor(ordered, ordered.exp(), top_p), -torch.inf)
        drawn[wide] = _gumbel_max(among, seeds[wide], steps[wide])
    return drawn


def _gumbel_max(
    logprobs: torch.Tensor, seeds: torch.Tensor, steps: torch.Tensor, tokens: torch.Tensor | None = None
) -> torch.Tensor:
    """Gumbel-max draw of one of `tokens` (B, K), or of all tokens in order, by their log-probabilities (B, K)."""
    candidates = torch.arange(logprobs.shape[-1], device=logprobs.device)[None, :] if tokens is None else tokens
    winner = (logprobs + gumbel_noise(seeds, steps, candidates)).argmax(-1, keepdim=True)
    return (winner if tokens is None else tokens.gather(-1, winner)).squeeze(-1)


def gumbel_noise(seeds: torch.Tensor, step: int | torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """Standard Gumbel noise of (seed, step, token id): (B,) seeds and steps, (B or 1, K) tokens -> (B, K) float64."""
    rows = _mix(_mix(seeds) + step)  # (B,)
    bits = _mix(rows[:, None] ^ _mix(tokens))
    uniform = (((bits >> 11) & ((1 << 53) - 1)).double() + 0.5) * 2.0**-53
    return uniform.log_().neg_().log_().neg_()


def _mix(x: torch.Tensor) -> torch.Tensor:
    """The splitmix64 step on int64 tensors, which wrap on overflow."""
    x = x + _GOLDEN
    x = (x ^ ((x >> 30) & ((1 << 34) - 1))) * _MIX_1
    x = (x ^ ((x >> 27) & ((1 << 37) - 1))) * _MIX_2
    return x ^ ((x >> 31) & ((1 << 33) - 1))
