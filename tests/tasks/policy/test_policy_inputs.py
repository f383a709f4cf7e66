"""What the policy's training steps hand to their jobs: demonstrations of the seen half, balanced prompts; by hand."""

from collections import Counter

import pytest

from data_contracts.config.sft import SupervisedFinetuning
from data_contracts.config.training import TrainingSettings
from data_contracts.conversation import Role, Turn
from data_contracts.errors import EmptyResultError
from data_contracts.finish_reason import FinishReason
from data_contracts.handles import ModelHandle
from data_contracts.rows.rows import rows_of
from data_contracts.tables.demonstrations import Candidate, Demonstration, QuerySplit
from data_contracts.tables.policy_prompts import PolicyPrompt
from data_contracts.tables.training_conversations import TrainingConversation
from tasks.policy.finetune_policy import finetune_policy, seen_conversations
from tasks.policy.optimize_policy import balanced_prompts

SEEN, UNSEEN = QuerySplit.SEEN, QuerySplit.UNSEEN


def demonstration(query: int, turn: int, split: QuerySplit, usable: bool = True) -> Demonstration:
    return Demonstration(
        demonstration_id=f"q{query}-t{turn}", query_id=f"q{query}", turn=turn, split=split,
        context=(Turn(Role.HUMAN, "Who?"),), response="Me." if usable else "", score=1.0,
        candidates=(Candidate("Me.", 1.0, 2, FinishReason.END, 1),), chosen_candidate=0, usable=usable,
    )  # fmt: skip


def test_the_larger_half_is_cut_and_unusable_rows_are_left_out():
    rows = [demonstration(1, 1, SEEN), demonstration(1, 2, SEEN), demonstration(2, 1, UNSEEN, usable=False)]
    rows += [demonstration(n, 1, UNSEEN) for n in range(3, 9)]
    demonstrations = rows_of(Demonstration, rows)
    prompts = list(balanced_prompts(demonstrations, seed=1))
    assert Counter(prompt.split for prompt in prompts) == {SEEN: 2, UNSEEN: 2}
    assert "q2-t1" not in {prompt.prompt_id for prompt in prompts}
    assert [prompt.prompt_id for prompt in prompts] == sorted(prompt.prompt_id for prompt in prompts)
    assert prompts[0].context == rows[0].context
    assert PolicyPrompt.to_table(prompts).num_rows == 4
    assert list(balanced_prompts(demonstrations, seed=1)) == prompts
    drawn = {tuple(prompt.prompt_id for prompt in balanced_prompts(demonstrations, seed)) for seed in range(9)}
    assert len(drawn) > 1


@pytest.mark.parametrize(
    ("rows", "sizes"),
    [
        ([], "{'seen': 0, 'unseen': 0}"),
        ([demonstration(1, 1, SEEN)], "{'seen': 1, 'unseen': 0}"),
        ([demonstration(1, 1, UNSEEN), demonstration(2, 1, SEEN, usable=False)], "{'seen': 0, 'unseen': 1}"),
    ],
)
def test_an_empty_half_is_told_with_both_sizes(rows: list[Demonstration], sizes: str):
    with pytest.raises(EmptyResultError) as raised:
        balanced_prompts(rows_of(Demonstration, rows), 1)
    assert sizes in str(raised.value)
    assert raised.value.exit_code == 2


def test_sft_learns_from_the_usable_rows_of_the_seen_half():
    rows = [demonstration(1, 1, SEEN), demonstration(2, 1, UNSEEN), demonstration(3, 1, SEEN, usable=False)]
    assert list(seen_conversations([*rows, demonstration(1, 2, SEEN)])) == [
        TrainingConversation(row_id=name, context=(Turn(Role.HUMAN, "Who?"),), response="Me.")
        for name in ("q1-t1", "q1-t2")
    ]


def test_no_seen_demonstration_is_told():
    rows = [demonstration(1, 1, UNSEEN), demonstration(2, 1, SEEN, usable=False)]
    with pytest.raises(EmptyResultError, match="none of 2 demonstrations is seen and usable"):
        finetune_policy.fn(
            demonstrations=rows_of(Demonstration, rows),
            base=ModelHandle(name="base", digest="x", folder="nowhere"),
            sft=SupervisedFinetuning(),
            training=TrainingSettings(),
            seed=1,
        )
