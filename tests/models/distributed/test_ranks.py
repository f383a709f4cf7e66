"""Sharing a step's rollouts among ranks."""

from hypothesis import given
from hypothesis import strategies as st

from models.distributed.ranks import Ranks


def rank(number: int, world: int) -> Ranks:
    """One of `world` ranks, without a process group."""
    ranks = Ranks()
    ranks.rank, ranks.world = number, world
    return ranks


@given(count=st.integers(1, 40), world=st.integers(1, 7))
def test_everybody_has_as_much_and_everything_is_done(count: int, world: int) -> None:
    shares = [rank(number, world).own(count) for number in range(world)]
    assert len({len(share) for share in shares}) == 1
    found = [shares[place % world][place // world] for place in range(count)]  # as `merge` puts them together
    assert found == list(range(count))


def test_alone() -> None:
    ranks = Ranks()
    assert (ranks.is_first, ranks.own(3), ranks.merge("abc", 3)) == (True, [0, 1, 2], ["a", "b", "c"])
    assert ranks.total({"x": 2.0}) == {"x": 2.0}
    assert ranks.any(True)
    assert not ranks.any(False)
