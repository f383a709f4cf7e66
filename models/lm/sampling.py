"""Choosing the next token of each row: greedy, or temperature and top-p with noise that belongs to the row.

The noise of a draw is a function of (row seed, step, token id) and of nothing else: a counter-based generator, so
that a row's sample depends neither on its batch nor on the device, and a row that moves in its batch keeps its noise.
Departures from the usual samplers:
1. Gumbel noise and argmax instead of `torch.multinomial`: same distribution, no shared generator state.
2. Tokens that tie with the least likely token of the nucleus are all in it (sorting would pick some by accident).
"""

import torch

NUCLEUS_CANDIDATES = 128  # tokens looked at before the whole row is sorted
_GOLDEN = -7046029254386353131  # 0x9E3779B97F4A7C15 as int64; the splitmix64 increment
_MIX_1 = -4658895280553007687  # 0xBF58476D1CE4E5B9
_MIX_2 = -7723592293110705685  # 0x94D049BB133111EB


def choose_tokens(
    logits: torch.Tensor, seeds: torch.Tensor, step: int | torch.Tensor, temperature: float, top_p: float
) -> torch.Tensor:
    """Draw one token per row.

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
        return _draw(logprobs, seeds, steps)
    likeliest = logprobs.topk(min(NUCLEUS_CANDIDATES, logprobs.shape[-1]), dim=-1)
    floor, whole = _nucleus_floor(likeliest.values, top_p)
    among = likeliest.values.masked_fill(likeliest.values < floor, -torch.inf)
    drawn = _draw(among, seeds, steps, likeliest.indices)
    wide = (~whole).nonzero().squeeze(-1)
    if len(wide):
        wide_logprobs = logprobs[wide]
        floor, _ = _nucleus_floor(wide_logprobs.sort(dim=-1, descending=True).values, top_p)
        drawn[wide] = _draw(wide_logprobs.masked_fill(wide_logprobs < floor, -torch.inf), seeds[wide], steps[wide])
    return drawn


def _draw(
    logprobs: torch.Tensor, seeds: torch.Tensor, steps: torch.Tensor, tokens: torch.Tensor | None = None
) -> torch.Tensor:
    """Gumbel-max draw of one of `tokens` (B, K), or of all tokens in order, by their log-probabilities (B, K)."""
    candidates = torch.arange(logprobs.shape[-1], device=logprobs.device)[None, :] if tokens is None else tokens
    winner = (logprobs + gumbel_noise(seeds, steps, candidates)).argmax(-1, keepdim=True)
    return (winner if tokens is None else tokens.gather(-1, winner)).squeeze(-1)


def _nucleus_floor(descending: torch.Tensor, top_p: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Lowest log-probability in the nucleus, the smallest set of likeliest tokens whose mass reaches `top_p`.

    `descending` (B, K) holds the K likeliest tokens' log-probabilities. Returns the floor (B, 1), and (B,) whether
    the K tokens surely hold the whole nucleus with its ties.
    """
    mass = descending.exp().cumsum(-1)  # (B, K)
    reached_at = (mass < top_p).sum(-1, keepdim=True)  # index of the token that reaches top_p
    floor = descending.gather(-1, reached_at.clamp(max=descending.shape[-1] - 1))
    return floor, (descending[:, -1:] < floor).squeeze(-1)


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
