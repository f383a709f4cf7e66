"""Long steps in shards: found again after a crash, computed only where missing, kept in memory without a step."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from data_contracts.rows.row import Row
from data_contracts.rows.rows import Sharded, shard_ranges
from data_contracts.store.artifact_store import Store
from data_contracts.store.stored import StoredShards
from tasks.runtime.context import RunningStep, computing, current
from tasks.runtime.shards import Shards, compute_shards
from tasks.runtime.step import step


class Word(Row, table="words", key="word_id"):
    word_id: str


COMPUTED: list[range] = []
CRASHES: list[int] = []  # the shard before which the step dies, once


def words(numbers: range) -> list[Word]:
    if CRASHES and numbers.start >= CRASHES[0]:
        CRASHES.clear()
        raise KeyError("killed")
    COMPUTED.append(numbers)
    return [Word(word_id=f"w{number}") for number in numbers]


@step(version="1")
def say_words(*, size: int) -> Sharded[Word]:
    """Words in shards of two."""
    return compute_shards(Word, shard_ranges(size, 2), words)


@pytest.fixture(autouse=True)
def _nothing_computed() -> None:
    COMPUTED.clear()
    CRASHES.clear()


def ids(rows: Sequence[Word] | Sharded[Word]) -> list[str]:
    return [row.word_id for row in rows]


ALL = [f"w{number}" for number in range(5)]
RANGES = [range(2), range(2, 4), range(4, 5)]


def test_without_a_step_shards_stay_in_memory():
    done: list[int] = []
    rows = compute_shards(Word, RANGES, words, done.append)
    assert type(rows) is Sharded
    assert ids(rows) == ids(rows) == ALL
    assert (len(rows), done, COMPUTED) == (5, [2, 4, 5], RANGES)
    assert ids(say_words.fn(size=5)) == ALL


def test_a_store_without_a_step_is_not_written_to(store: Store):
    assert ids(compute_shards(Word, RANGES, words)) == ALL
    assert store.backend.list("words@1") == []


def test_in_a_step_shards_lie_in_the_store(store: Store, in_step: RunningStep):
    rows = compute_shards(Word, RANGES, words)
    assert isinstance(rows, StoredShards)
    assert ids(rows) == ids(rows) == ALL
    assert [part.rows for part in rows.parts] == [2, 2, 1]
    assert in_step.counters == {"shards_computed": 3.0}


def test_after_a_crash_only_the_missing_shards_are_computed(compute: Callable[..., Any], store: Store):
    CRASHES.append(4)
    with pytest.raises(KeyError):
        compute(say_words, size=5)
    assert (RANGES[:2], say_words.find(size=5)) == (COMPUTED, None)
    rows = compute(say_words, size=5)
    assert COMPUTED == RANGES, "each shard once"
    assert ids(rows) == ALL
    assert [part.rows for part in store.manifest(rows.artifact).parts] == [2, 2, 1]
    cost = store.cost(rows.artifact)
    assert cost is not None
    assert cost.counters == {"shards_found": 2.0, "shards_computed": 1.0}


def test_a_damaged_shard_is_computed_again(compute: Callable[..., Any], store: Store):
    CRASHES.append(4)
    with pytest.raises(KeyError):
        compute(say_words, size=5)
    part = next(name for name in store.backend.list(f"words@1/{say_words.key(size=5)}") if "part-00001" in name)
    store.backend.put_bytes(part, b"spoilt")
    assert ids(compute(say_words, size=5)) == ALL
    assert [*RANGES[:2], RANGES[1], RANGES[2]] == COMPUTED


def test_found_shards_count_as_progress_and_have_their_rows(store: Store, in_step: RunningStep):
    compute_shards(Word, RANGES[:1], words)
    done: list[int] = []
    assert ids(compute_shards(Word, RANGES, words, done.append)) == ALL
    assert done == [2, 4, 5]
    shards = Shards(Word)
    assert ids(shards.rows(lambda: words(range(2)))) == ALL[:2]
    assert COMPUTED == RANGES


def test_rows_of_a_shard_without_a_step():
    shards = Shards(Word)
    assert ids(shards.rows(lambda: words(range(2)))) == ALL[:2]
    assert ids(shards.rows(lambda: words(range(2, 4)))) == ALL[2:4]
    assert ids(shards.finished()) == ALL[:4]


def test_no_rows_are_one_empty_shard(compute: Callable[..., Any], store: Store):
    rows = compute(say_words, size=0)
    assert (len(rows), COMPUTED) == (0, [range(0)])
    assert [part.rows for part in store.manifest(rows.artifact).parts] == [0]


def test_shards_of_another_key_are_not_found(store: Store):
    for key in ("a" * 32, "b" * 32):
        with computing(RunningStep("say_words", "say_words", key)):
            assert current().step is not None
            compute_shards(Word, RANGES[:1], words)
    assert [range(2)] * 2 == COMPUTED
