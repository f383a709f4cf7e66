"""Both draws: the distribution, the nucleus, and noise that belongs to the row."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import TopPLogitsWarper

from models.lm.nucleus import nucleus, nucleus_floor
from models.lm.sampling import NUCLEUS_CANDIDATES, draw_by_seed, draw_by_uniforms, gumbel_noise, invert_cumulative

DRAWS = 20_000


def draw(logits: torch.Tensor, temperature: float, top_p: float, draws: int = DRAWS) -> torch.Tensor:
    """Counts of the tokens drawn from one row of logits under `draws` seeds."""
    tokens = draw_by_seed(logits.expand(draws, -1), torch.arange(draws), 3, temperature, top_p)
    return torch.bincount(tokens, minlength=len(logits))


def test_temperature_zero_is_greedy() -> None:
    logits = torch.tensor([[0.0, 3.0, 1.0], [5.0, 3.0, 1.0]])
    assert draw_by_seed(logits, torch.tensor([1, 2]), 0, 0.0, 0.5).tolist() == [1, 0]


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (1.3, 1.0), (1.0, 0.8), (0.7, 0.9)])
def test_draws_follow_the_distribution(temperature: float, top_p: float) -> None:
    logits = torch.randn(12, generator=torch.Generator().manual_seed(0)) * 1.5
    warped = TopPLogitsWarper(top_p)(None, logits[None] / temperature) if top_p < 1 else logits[None] / temperature
    expected = warped.softmax(-1)[0].double() * DRAWS
    counts = draw(logits, temperature, top_p).double()
    assert (counts[expected == 0] == 0).all()
    inside = expected > 0
    chi_square = ((counts - expected)[inside] ** 2 / expected[inside]).sum()
    assert chi_square < 35  # 11 degrees of freedom: p < 0.0003


def test_the_nucleus_by_hand() -> None:
    logits = torch.tensor([0.5, 0.25, 0.15, 0.1]).log()
    assert (draw(logits, 1.0, 0.7) > 0).tolist() == [True, True, False, False]  # .5 + .25 reaches .7
    assert (draw(logits, 1.0, 0.5) > 0).tolist() == [True, False, False, False]  # .5 alone reaches .5
    assert (draw(logits, 1.0, 0.76) > 0).tolist() == [True, True, True, False]
    even = torch.zeros(4)
    assert (draw(even, 1.0, 0.3) > 0).all()  # ties with the last token of the nucleus are in it


def test_wide_rows_and_narrow_rows_share_a_batch() -> None:
    size = NUCLEUS_CANDIDATES * 4
    narrow, wide = torch.zeros(size), torch.zeros(size)
    narrow[7] = 20.0
    wide[300:] = 1e-3 * torch.arange(size - 300)
    seeds = torch.arange(400)
    both = torch.stack((narrow, wide)).repeat(200, 1)
    tokens = draw_by_seed(both, seeds, 0, 1.0, 0.9)
    assert set(tokens[::2].tolist()) == {7}
    alone = draw_by_seed(wide.expand(200, -1), seeds[1::2], 0, 1.0, 0.9)
    assert tokens[1::2].tolist() == alone.tolist()
    assert len(set(alone.tolist())) > 100


@given(st.integers(-(2**63), 2**63 - 1), st.integers(0, 4000), st.integers(0, 60))
@settings(max_examples=50, deadline=None)
def test_noise_belongs_to_seed_step_and_token(seed: int, step: int, place: int) -> None:
    tokens = torch.randint(0, 50_000, (1, 61), generator=torch.Generator().manual_seed(place))
    batch = gumbel_noise(torch.tensor([3, seed, -4]), step, tokens)
    alone = gumbel_noise(torch.tensor([seed]), step, tokens[:, place : place + 1])
    assert batch[1, place] == alone[0, 0]
    assert batch.isfinite().all()


def test_noise_is_gumbel_and_uncorrelated() -> None:
    noise = gumbel_noise(torch.arange(300), 5, torch.arange(300)[None])
    assert noise.mean().item() == pytest.approx(0.5772, abs=0.02)
    assert noise.std().item() == pytest.approx(1.2825, abs=0.02)
    assert abs(torch.corrcoef(torch.stack((noise[:, :-1].flatten(), noise[:, 1:].flatten())))[0, 1]) < 0.02
    following = gumbel_noise(torch.arange(300), 6, torch.arange(300)[None])
    assert abs(torch.corrcoef(torch.stack((noise.flatten(), following.flatten())))[0, 1]) < 0.02


def test_uniform_numbers_invert_the_cumulative_distribution() -> None:
    # Probabilities 0.5, 0, 0.3, 0.2: cumulative 0.5, 0.5, 0.8, 1.
    logits = torch.tensor([[0.5, 1e-45, 0.3, 0.2]]).log().expand(6, 4)
    logits = torch.where(logits < -50, float("-inf"), logits)
    numbers = torch.tensor([0.0, 0.499999, 0.500001, 0.799999, 0.800001, 0.999999], dtype=torch.float64)
    assert invert_cumulative(logits, numbers).tolist() == [0, 0, 2, 2, 3, 3]
    tokens, allowed = draw_by_uniforms(logits, numbers, 1.0, 1.0)
    assert tokens.tolist() == [0, 0, 2, 2, 3, 3]
    assert allowed is None


def test_uniform_numbers_draw_within_temperature_and_nucleus() -> None:
    # At temperature 0.5 the probabilities .5 .3 .2 become 25/38, 9/38, 4/38; the first two reach .8, and renormalised
    # they are 25/34 = .735 and 9/34.
    logits = torch.tensor([[0.5, 0.3, 0.2]]).log().expand(4, 3)
    numbers = torch.tensor([0.0, 0.735, 0.736, 0.999], dtype=torch.float64)
    tokens, allowed = draw_by_uniforms(logits, numbers, 0.5, 0.8)
    assert tokens.tolist() == [0, 0, 1, 1]
    assert allowed is not None
    assert allowed.tolist() == [[True, True, False]] * 4


def test_the_floor_is_a_value_of_the_callers_scale() -> None:
    probabilities = torch.tensor([[0.5, 0.3, 0.2]])
    assert nucleus_floor(probabilities, probabilities, 0.6).tolist() == [[pytest.approx(0.3)]]
    assert nucleus_floor(probabilities.log(), probabilities, 0.6).exp().tolist() == [[pytest.approx(0.3)]]
    candidates = probabilities[:, :1]  # too few of them: the last one's value
    assert nucleus_floor(candidates, candidates, 0.9).tolist() == [[pytest.approx(0.5)]]


@given(st.lists(st.floats(-8, 8), min_size=2, max_size=40), st.floats(0.05, 0.99))
@settings(max_examples=40, deadline=None)
def test_both_draws_stay_in_the_smallest_set_that_reaches_top_p(values: list[float], top_p: float) -> None:
    logits = torch.tensor([values], dtype=torch.float32).mul(4).round().div(4)  # no ties within rounding errors
    kept = nucleus(logits, top_p)[0]
    mass = logits.softmax(-1)[0]
    assert float(mass[kept].sum()) >= top_p - 1e-5
    least = mass[kept].min()
    assert bool((mass[~kept] < least).all())
    assert float(mass[mass > least].sum()) < top_p + 1e-5, "without the last token and its ties it falls short"
    rows = logits.expand(50, -1)
    by_seed = draw_by_seed(rows, torch.arange(50), 0, 1.0, top_p)
    by_uniforms, allowed = draw_by_uniforms(rows, torch.linspace(0, 0.999, 50, dtype=torch.float64), 1.0, top_p)
    assert bool(kept[by_seed].all())
    assert bool(kept[by_uniforms].all())
    assert allowed is not None
    assert torch.equal(allowed[0], kept)
