"""Self-play: the split, the choice among candidates, and whole dialogues of small random models."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_contracts.config.engine import EngineConfig
from data_contracts.config.self_play import SelfPlay
from data_contracts.conversation import from_column
from data_contracts.errors import ConfigError
from data_contracts.folder_contracts import Checkpoint
from data_contracts.handles import ModelHandle, PromptHandle
from data_contracts.store.artifact import Artifact
from data_contracts.store.artifact_store import Store
from data_contracts.tables.demonstrations import Demonstration
from data_contracts.tables.queries import Query
from models.reward.reward_model import RewardModel
from tasks.policy.self_play import best_candidate, self_play, split_queries

PLAY = SelfPlay(
    assistant_shots=1, user_shots=1, candidates=3, turns=2, max_new_tokens=8, user_max_new_tokens=8, shard_queries=2
)

# --- the split --------------------------------------------------------------------------------------------------

IDS = st.lists(st.text("abc123", min_size=1, max_size=5), unique=True, max_size=40)


@given(IDS, st.floats(0.05, 1.0), st.integers(0, 99), st.randoms(use_true_random=False))
def test_the_share_is_exact_and_the_order_does_not_count(ids: list[str], share: float, seed: int, random: Any):
    split = split_queries(ids, share, seed)
    assert set(split) == set(ids)
    assert sum(value == "seen" for value in split.values()) == round(share * len(ids))
    random.shuffle(ids)
    assert split_queries(ids, share, seed) == split


def test_the_split_is_drawn_by_seed():
    ids = [f"q{n}" for n in range(60)]
    assert len({tuple(sorted(split_queries(ids, 0.5, seed).items())) for seed in range(10)}) == 10
    assert set(split_queries(ids, 1.0, 1).values()) == {"seen"}


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


def query(number: int) -> dict[str, Any]:
    return {
        "query_id": f"q{number}", "query": f"Who is number {number}?", "attempt": number, "seed": 1,
        "nearest_query_id": None, "nearest_rouge_l": None, "decontamination_checked": False, "evaluation_overlap": None,
    }  # fmt: skip


@pytest.fixture
def play(
    compute: Callable[..., Any],
    commit: Callable[..., Any],
    reward_checkpoint: Artifact[Checkpoint],
    tiny_model: ModelHandle,
    conversations: PromptHandle,
) -> Callable[..., Any]:
    queries = commit(Query, [query(number) for number in range(5)])

    def run(settings: SelfPlay = PLAY, user: ModelHandle = tiny_model, assistant: ModelHandle = tiny_model) -> Any:
        return compute(
            self_play, queries, reward_checkpoint, assistant, conversations, user, conversations, settings,
            EngineConfig(), 1,
        )  # fmt: skip

    return run


def test_dialogues_keep_all_candidates_and_the_best_goes_on(play: Callable[..., Any], reward_folder: Path):
    rows = read(Demonstration, play()).to_pylist()
    assert [row["query_id"] for row in rows] == sorted(row["query_id"] for row in rows)
    by_id = {row["demonstration_id"]: row for row in rows}
    assert {row["query_id"] for row in rows} == {f"q{n}" for n in range(5)}
    model = RewardModel(reward_folder, threads=1)
    for row in rows:
        context = from_column(row["context"])
        assert len(context) == 2 * row["turn"] - 1
        assert context[0].text.startswith("Who is number")
        assert len(row["candidates"]) == PLAY.candidates
        assert len({candidate["seed"] for candidate in row["candidates"]}) == PLAY.candidates
        chosen = row["candidates"][row["chosen_candidate"]]
        assert (row["response"], row["score"]) == (chosen["text"].strip(), chosen["score"])
        scores = [candidate["score"] for candidate in row["candidates"]]
        assert row["chosen_candidate"] == best_candidate(scores)
        for candidate in row["candidates"]:
            if candidate["text"]:
                (score,) = model.score_candidates(context, [candidate["text"]])
                assert candidate["score"] == pytest.approx(score, abs=1e-4)
            else:
                assert candidate["score"] is None
        if row["turn"] == 2:
            first = by_id[f"{row['query_id']}-t1"]
            assert context[:1] == from_column(first["context"])
            assert context[1].text == first["response"]
            assert row["split"] == first["split"], "a later turn of a seen query never counts as unseen"
            assert context[2].text
    assert sum(row["turn"] == 2 for row in rows) >= 1
    assert len({row["query_id"] for row in rows if row["split"] == "seen"}) == 2


def test_a_user_with_nothing_to_say_ends_the_dialogue(play: Callable[..., Any], silent_model: ModelHandle):
    rows = read(Demonstration, play(user=silent_model)).to_pylist()
    assert [row["turn"] for row in rows] == [1] * 5


def test_an_assistant_with_nothing_to_say_leaves_unusable_rows(play: Callable[..., Any], silent_model: ModelHandle):
    rows = read(Demonstration, play(assistant=silent_model)).to_pylist()
    assert [(row["turn"], row["usable"], row["response"], row["score"]) for row in rows] == [(1, False, "", None)] * 5


def test_plain_self_play_has_one_candidate(play: Callable[..., Any]):
    rows = read(Demonstration, play(PLAY.model_copy(update={"candidates": 1, "turns": 1}))).to_pylist()
    assert {(len(row["candidates"]), row["chosen_candidate"], row["turn"]) for row in rows} == {(1, 0, 1)}


def test_fewer_queries_may_be_played_and_shards_do_not_change_them(play: Callable[..., Any]):
    table = read(Demonstration, play(PLAY.model_copy(update={"queries": 4})))
    other = read(Demonstration, play(PLAY.model_copy(update={"queries": 4, "shard_queries": 3})))
    assert set(table["query_id"].to_pylist()) == {"q0", "q1", "q2", "q3"}
    assert table.select(["demonstration_id", "split", "response"]) == other.select(
        ["demonstration_id", "split", "response"]
    )


def test_a_rerun_gives_the_same_bytes(play: Callable[..., Any], store: Store):
    first = play()
    store.backend.delete(f"{first.path}/manifest.json")
    for name in store.backend.list(f"{first.path}/receipts"):
        store.backend.delete(name)
    assert play() == first


def test_a_dialogue_that_fills_the_context_ends_there_and_is_counted(play: Callable[..., Any], store: Store):
    """With this limit the first prompts just fit; what follows them is longer, so nobody gets a second turn."""
    with pytest.raises(ConfigError) as raised:
        play(PLAY.model_copy(update={"max_new_tokens": 250}))
    room = 256 - int(str(raised.value).split(" has ")[1].split()[0])
    artifact = play(PLAY.model_copy(update={"max_new_tokens": room}))
    rows = read(Demonstration, artifact).to_pylist()
    assert [row["turn"] for row in rows] == [1] * 5
    cost = store.cost(artifact)
    assert cost is not None
    assert cost.counters["dialogues_out_of_context"] >= 1


def test_a_first_prompt_that_does_not_fit_the_context_is_told_with_both_lengths(play: Callable[..., Any], store: Store):
    with pytest.raises(
        ConfigError, match=r"self-play assistant, query q0: prompt 0 has \d+ tokens .* context holds 256"
    ):
        play(PLAY.model_copy(update={"max_new_tokens": 250}))
    assert not list(Path(store.url).glob("demonstrations@1/*/*"))
