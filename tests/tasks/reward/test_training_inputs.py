"""What the training steps hand to their jobs: held-out queries, balanced prompts, the as-is veto; by hand."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_contracts.config.engine import EngineConfig
from data_contracts.config.reward import RewardTraining
from data_contracts.config.sft import SupervisedFinetuning
from data_contracts.config.training import TrainingSettings
from data_contracts.errors import EmptyResultError
from data_contracts.folder_contracts import Checkpoint
from data_contracts.handles import ModelHandle
from data_contracts.store.artifact import Artifact
from data_contracts.tables.community_answers import CommunityAnswer
from data_contracts.tables.comparisons import Comparison
from data_contracts.tables.demonstrations import Demonstration
from data_contracts.tables.policy_prompts import PolicyPrompt
from tasks.feedback import judge_by_as_is as as_is_module
from tasks.feedback.judge_by_as_is import judge_by_as_is
from tasks.feedback.rank_comparisons import pair_by_rank
from tasks.policy.finetune_policy import finetune_policy
from tasks.policy.optimize_policy import balanced_prompts
from tasks.reward.preference_rows import heldout_queries
from tasks.reward.train_reward_model import train_as_is_reward_model, train_reward_model

# --- held-out queries -------------------------------------------------------------------------------------------

IDS = st.lists(st.sampled_from([f"q{n}" for n in range(30)]), max_size=60)


@given(IDS, st.floats(0, 0.99), st.integers(0, 99), st.randoms(use_true_random=False))
def test_queries_are_held_out_whole(ids: list[str], share: float, seed: int, random: Any):
    heldout = heldout_queries(ids, share, seed)
    distinct = set(ids)
    assert heldout <= distinct
    if share == 0 or len(distinct) < 2:
        assert heldout == set()
    else:
        assert len(heldout) == min(len(distinct) - 1, max(1, round(share * len(distinct))))
    random.shuffle(ids)
    assert heldout_queries(ids + ids, share, seed) == heldout, "neither order nor repetition counts"


def test_held_out_queries_by_hand():
    ids = [f"q{n}" for n in range(20)]
    assert len(heldout_queries(ids, 0.1, 1)) == 2
    assert len({frozenset(heldout_queries(ids, 0.1, seed)) for seed in range(8)}) > 1
    assert heldout_queries([], 0.5, 1) == set()


# --- balanced prompts -------------------------------------------------------------------------------------------


def demonstration(query: int, turn: int, split: str, usable: bool = True) -> dict[str, Any]:
    return {
        "demonstration_id": f"q{query}-t{turn}", "query_id": f"q{query}", "turn": turn, "split": split,
        "context": [{"role": "human", "text": "Who?"}], "response": "Me." if usable else "", "score": 1.0,
        "candidates": [{"text": "Me.", "score": 1.0, "tokens": 2, "finish_reason": "end", "seed": 1}],
        "chosen_candidate": 0, "usable": usable,
    }  # fmt: skip


def test_the_larger_half_is_cut_and_unusable_rows_are_left_out():
    rows = [demonstration(1, 1, "seen"), demonstration(1, 2, "seen"), demonstration(2, 1, "unseen", usable=False)]
    rows += [demonstration(n, 1, "unseen") for n in range(3, 9)]
    prompts = balanced_prompts(rows, seed=1)
    assert Counter(row["split"] for row in prompts) == {"seen": 2, "unseen": 2}
    assert "q2-t1" not in {row["prompt_id"] for row in prompts}
    assert [row["prompt_id"] for row in prompts] == sorted(row["prompt_id"] for row in prompts)
    assert PolicyPrompt.from_rows(prompts).num_rows == 4
    assert balanced_prompts(rows, seed=1) == prompts
    assert len({tuple(r["prompt_id"] for r in balanced_prompts(rows, seed)) for seed in range(9)}) > 1


@pytest.mark.parametrize(
    ("rows", "sizes"),
    [
        ([], "{'seen': 0, 'unseen': 0}"),
        ([demonstration(1, 1, "seen")], "{'seen': 1, 'unseen': 0}"),
        ([demonstration(1, 1, "unseen"), demonstration(2, 1, "seen", usable=False)], "{'seen': 0, 'unseen': 1}"),
    ],
)
def test_an_empty_half_is_told_with_both_sizes(rows: list[dict[str, Any]], sizes: str):
    with pytest.raises(EmptyResultError) as raised:
        balanced_prompts(rows, 1)
    assert sizes in str(raised.value)
    assert raised.value.exit_code == 2


# --- nothing to train on ----------------------------------------------------------------------------------------


def comparisons(*kept: bool) -> list[dict[str, Any]]:
    rows = [
        {
            "response_id": f"q{n}-{name}", "query_id": f"q{n}", "query": "Who?", "responder": name,
            "responder_rank": rank, "response": f"It is {name}{n}.",
        }
        for n in range(len(kept))
        for rank, name in ((1, "A"), (2, "B"))
    ]  # fmt: skip
    pairs = pair_by_rank(rows)
    for row, keep in zip(pairs, kept, strict=True):
        if not keep:
            row |= {"kept": False, "verdict_words": "drop", "dropped_because": "refusal"}
    return pairs


def test_no_kept_comparison_is_told(compute: Callable[..., Any], commit: Callable[..., Any], tiny_model: ModelHandle):
    table = commit(Comparison, comparisons(False, False))
    with pytest.raises(EmptyResultError, match="no comparison was kept; loosen filter"):
        compute(train_reward_model, table, tiny_model, None, RewardTraining(), TrainingSettings(), 1)


def test_no_usable_community_pair_is_told(
    compute: Callable[..., Any], commit: Callable[..., Any], tiny_model: ModelHandle
):
    rows = [
        {"pair_id": f"c{n}", "question": "Who?", "chosen": chosen, "rejected": rejected, "chosen_votes": 2, "rejected_votes": 1}
        for n, (chosen, rejected) in enumerate([("Me.", ""), ("", "You."), ("Me.", "Me.")])
    ]  # fmt: skip
    with pytest.raises(EmptyResultError, match="none of 3 community pairs has two different answers"):
        compute(
            train_as_is_reward_model, commit(CommunityAnswer, rows), tiny_model, 20, RewardTraining(),
            TrainingSettings(), 1,
        )  # fmt: skip


def test_no_seen_demonstration_is_told(
    compute: Callable[..., Any], commit: Callable[..., Any], tiny_model: ModelHandle
):
    table = commit(Demonstration, [demonstration(1, 1, "unseen"), demonstration(2, 1, "seen", usable=False)])
    with pytest.raises(EmptyResultError, match="none of 2 demonstrations is seen and usable"):
        compute(finetune_policy, table, tiny_model, SupervisedFinetuning(), TrainingSettings(), 1)


# --- the as-is veto ---------------------------------------------------------------------------------------------


def test_the_veto_by_hand(compute: Callable[..., Any], commit: Callable[..., Any], monkeypatch: pytest.MonkeyPatch):
    """Margins 2, 0 and -1: a tie is no agreement. A comparison that was dropped before is not judged."""
    rewards = {"A0": 3.0, "B0": 1.0, "A1": 1.0, "B1": 1.0, "A2": 0.0, "B2": 1.0}

    def score(texts: list[tuple[str, str]], *_: Any) -> dict[tuple[str, str], float]:
        assert all(response[6:8] in rewards for _, response in texts), "what is dropped already is not scored"
        return {(query, response): rewards[response[6:8]] for query, response in texts}

    monkeypatch.setattr(as_is_module, "_score", score)
    table = commit(Comparison, comparisons(True, True, True, False))
    checkpoint = Artifact(contract="checkpoint@1", path="checkpoint@1/x", digest="x", rows=0)
    rows = read(Comparison, compute(judge_by_as_is, table, checkpoint, EngineConfig())).to_pylist()
    assert [row["as_is_margin"] for row in rows] == [2.0, 0.0, -1.0, None]
    assert [row["verdict_as_is"] for row in rows] == ["keep", "drop", "drop", "not_judged"]
    assert [row["dropped_because"] for row in rows] == [None, "as_is_disagrees", "as_is_disagrees", "refusal"]
    assert [row["kept"] for row in rows] == [True, False, False, False]
    assert rows[2]["evidence"] == "margin -1.0000"


def test_a_veto_of_everything_says_what_to_do(
    compute: Callable[..., Any], commit: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(as_is_module, "_score", lambda texts, *_: dict.fromkeys(texts, 0.0))
    checkpoint = Artifact(contract="checkpoint@1", path="checkpoint@1/x", digest="x", rows=0)
    with pytest.raises(EmptyResultError, match=r"set as_is\.enabled=false"):
        compute(judge_by_as_is, commit(Comparison, comparisons(True, True)), checkpoint, EngineConfig())


def test_a_real_model_judges_every_kept_comparison(
    compute: Callable[..., Any], commit: Callable[..., Any], reward_checkpoint: Artifact[Checkpoint]
):
    pairs = comparisons(*[True] * 12, False)
    for row in pairs[:6]:  # so that no taste of the model can agree with all of them, nor with none
        row["chosen"], row["rejected"] = row["rejected"], row["chosen"]
    table = commit(Comparison, pairs)
    rows = read(Comparison, compute(judge_by_as_is, table, reward_checkpoint, EngineConfig())).to_pylist()
    assert sum(row["verdict_as_is"] == "not_judged" for row in rows) == 1
    assert all((row["as_is_margin"] > 0) == row["kept"] for row in rows[:-1])
