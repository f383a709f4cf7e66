"""Self-play: the split, the choice among candidates, and whole dialogues of small random models."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_contracts.config.engine import EngineConfig
from data_contracts.config.self_play import SelfPlay
from data_contracts.errors import ConfigError
from data_contracts.folder_contracts import RewardCheckpoint
from data_contracts.handles import ModelHandle, PromptHandle
from data_contracts.rows.rows import rows_of
from data_contracts.store.artifact_store import Store
from data_contracts.store.stored import Folder, StoredFolder
from data_contracts.tables.demonstrations import Demonstration, QuerySplit
from data_contracts.tables.queries import Query
from models.reward.reward_model import RewardModel
from tasks.policy.self_play import best_candidate, self_play, split_queries
from tests.tasks.conftest import query

PLAY = SelfPlay(
    assistant_shots=1, user_shots=1, candidates=3, turns=2, max_new_tokens=8, user_max_new_tokens=8, shard_queries=2
)

# --- the split --------------------------------------------------------------------------------------------------

IDS = st.lists(st.text("abc123", min_size=1, max_size=5), unique=True, max_size=40)


@given(IDS, st.floats(0.05, 1.0), st.integers(0, 99), st.randoms(use_true_random=False))
def test_the_share_is_exact_and_the_order_does_not_count(ids: list[str], share: float, seed: int, random: Any):
    split = split_queries(ids, share, seed)
    assert set(split) == set(ids)
    assert sum(value is QuerySplit.SEEN for value in split.values()) == round(share * len(ids))
    random.shuffle(ids)
    assert split_queries(ids, share, seed) == split


def test_the_split_is_drawn_by_seed():
    ids = [f"q{n}" for n in range(60)]
    assert len({tuple(sorted(split_queries(ids, 0.5, seed).items())) for seed in range(10)}) == 10
    assert set(split_queries(ids, 1.0, 1).values()) == {QuerySplit.SEEN}


# --- the choice -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scores", "best"),
    [
        ([1.0], 0),
        ([1.0, 3.0, 2.0], 1),
        ([2.0, 2.0], 0),
        ([1.0, 2.0, 2.0], 1),
        ([None, -5.0], 1),
        ([None, None], 0),
        ([-1.0, None, -0.5, -0.5], 2),
    ],
)
def test_the_best_candidate(scores: list[float | None], best: int):
    assert best_candidate(scores) == best


@given(st.lists(st.none() | st.floats(-9, 9), min_size=1))
def test_the_best_candidate_has_the_highest_score_and_is_the_first_that_has_it(scores: list[float | None]):
    best = best_candidate(scores)
    numbers = [score for score in scores if score is not None]
    assert best == (scores.index(max(numbers)) if numbers else 0)


# --- dialogues --------------------------------------------------------------------------------------------------


QUERIES = [query(number, f"Who is number {number}?") for number in range(5)]


@pytest.fixture
def arguments(
    tiny_model: ModelHandle, conversations: PromptHandle, reward_checkpoint: Folder[RewardCheckpoint]
) -> dict[str, Any]:
    return {
        "queries": rows_of(Query, QUERIES), "reward_model": reward_checkpoint, "assistant": tiny_model,
        "assistant_prompts": conversations, "user": tiny_model, "user_prompts": conversations, "play": PLAY,
        "engine": EngineConfig(), "seed": 1,
    }  # fmt: skip


@pytest.fixture
def play(arguments: dict[str, Any]) -> Callable[..., list[Demonstration]]:
    """Play without a store; `changes` replace arguments of the step."""

    def run(**changes: Any) -> list[Demonstration]:
        rows = list(self_play.fn(**(arguments | changes)))
        Demonstration.to_table(rows)
        return rows

    return run


@pytest.fixture
def play_in_store(
    compute: Callable[..., Any],
    stored: Callable[..., Any],
    arguments: dict[str, Any],
    stored_reward_checkpoint: StoredFolder[RewardCheckpoint],
) -> Callable[..., Any]:
    """Play as a step of a run."""
    given = arguments | {"queries": stored(Query, QUERIES), "reward_model": stored_reward_checkpoint}
    return lambda **changes: compute(self_play, **(given | changes))


def test_dialogues_keep_all_candidates_and_the_best_goes_on(
    play: Callable[..., list[Demonstration]], reward_folder: Path
):
    rows = play()
    assert [row.query_id for row in rows] == sorted(row.query_id for row in rows)
    by_id = {row.demonstration_id: row for row in rows}
    assert {row.query_id for row in rows} == {f"q{n}" for n in range(5)}
    model = RewardModel(reward_folder, threads=1)
    for row in rows:
        assert len(row.context) == 2 * row.turn - 1
        assert row.context[0].text.startswith("Who is number")
        assert len(row.candidates) == PLAY.candidates
        assert len({candidate.seed for candidate in row.candidates}) == PLAY.candidates
        chosen = row.candidates[row.chosen_candidate]
        assert (row.response, row.score) == (chosen.text.strip(), chosen.score)
        assert row.chosen_candidate == best_candidate([candidate.score for candidate in row.candidates])
        for candidate in row.candidates:
            if candidate.text:
                (score,) = model.score_candidates(row.context, [candidate.text])
                assert candidate.score == pytest.approx(score, abs=1e-4)
            else:
                assert candidate.score is None
        if row.turn == 2:
            first = by_id[f"{row.query_id}-t1"]
            assert row.context[:1] == first.context
            assert row.context[1].text == first.response
            assert row.split == first.split, "a later turn of a seen query never counts as unseen"
            assert row.context[2].text
    assert sum(row.turn == 2 for row in rows) >= 1
    assert len({row.query_id for row in rows if row.split is QuerySplit.SEEN}) == 2


def test_a_user_with_nothing_to_say_ends_the_dialogue(
    play: Callable[..., list[Demonstration]], silent_model: ModelHandle
):
    assert [row.turn for row in play(user=silent_model)] == [1] * 5


def test_an_assistant_with_nothing_to_say_leaves_unusable_rows(
    play: Callable[..., list[Demonstration]], silent_model: ModelHandle
):
    rows = play(assistant=silent_model)
    assert [(row.turn, row.usable, row.response, row.score) for row in rows] == [(1, False, "", None)] * 5


def test_plain_self_play_has_one_candidate(play: Callable[..., list[Demonstration]]):
    rows = play(play=PLAY.model_copy(update={"candidates": 1, "turns": 1}))
    assert {(len(row.candidates), row.chosen_candidate, row.turn) for row in rows} == {(1, 0, 1)}


def test_fewer_queries_may_be_played_and_shards_do_not_change_them(play: Callable[..., list[Demonstration]]):
    rows = play(play=PLAY.model_copy(update={"queries": 4}))
    others = play(play=PLAY.model_copy(update={"queries": 4, "shard_queries": 3}))
    assert {row.query_id for row in rows} == {"q0", "q1", "q2", "q3"}
    assert [(row.demonstration_id, row.split, row.response) for row in rows] == [
        (row.demonstration_id, row.split, row.response) for row in others
    ]


def test_a_rerun_gives_the_same_bytes(
    play: Callable[..., list[Demonstration]], play_in_store: Callable[..., Any], store: Store
):
    first = play_in_store()
    rows = list(first)
    assert rows == play(), "with a store or without one"
    path = first.artifact.path
    store.backend.delete(f"{path}/manifest.json")
    for name in store.backend.list(f"{path}/receipts"):
        store.backend.delete(name)
    assert play_in_store() == first
    counters = store.cost(first.artifact)
    assert counters is not None
    assert counters.counters["shards_computed"] == 3


def test_a_dialogue_that_fills_the_context_ends_there_and_is_counted(play_in_store: Callable[..., Any], store: Store):
    """With this limit the first prompts just fit; what follows them is longer, so nobody gets a second turn."""
    with pytest.raises(ConfigError) as raised:
        play_in_store(play=PLAY.model_copy(update={"max_new_tokens": 250}))
    room = 256 - int(str(raised.value).split(" has ")[1].split()[0])
    rows = play_in_store(play=PLAY.model_copy(update={"max_new_tokens": room}))
    assert [row.turn for row in rows] == [1] * 5
    cost = store.cost(rows.artifact)
    assert cost is not None
    assert cost.counters["dialogues_out_of_context"] >= 1


def test_a_first_prompt_that_does_not_fit_the_context_is_told_with_both_lengths(
    play_in_store: Callable[..., Any], store: Store
):
    with pytest.raises(
        ConfigError, match=r"self-play assistant, query q0: prompt 0 has \d+ tokens .* context holds 256"
    ):
        play_in_store(play=PLAY.model_copy(update={"max_new_tokens": 250}))
    assert not list(Path(store.url).glob("demonstrations@1/*/*"))
