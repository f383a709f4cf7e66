"""Rules of single tables, on rows made by hand."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from data_contracts.conversation import Role, Turn
from data_contracts.errors import ContractError
from data_contracts.finish_reason import FinishReason
from data_contracts.rows.row import Row
from data_contracts.tables.community_answers import CommunityAnswer
from data_contracts.tables.comparisons import Comparison
from data_contracts.tables.demonstrations import Candidate, Demonstration, QuerySplit
from data_contracts.tables.evaluation_texts import Contamination, ContaminationVerdict, OverlapKind
from data_contracts.tables.mined_lines import MinedLine
from data_contracts.tables.policy_prompts import PolicyPrompt
from data_contracts.tables.preference_pairs import PreferencePair
from data_contracts.tables.queries import Query, QueryRejection, RejectedQuery
from data_contracts.tables.responses import Response
from data_contracts.tables.reward_scores import PairSplit, RewardScore
from data_contracts.tables.rollouts import Rollout
from data_contracts.tables.training_conversations import TrainingConversation


def comparison(**changes: Any) -> Comparison:
    texts = ("comparison_id", "query_id", "query", "chosen_response_id", "rejected_response_id", "chosen", "rejected")
    values: dict[str, Any] = dict.fromkeys((*texts, "chosen_responder", "rejected_responder"), "x")
    values |= {"chosen_rank": 1, "rejected_rank": 2}
    values |= {f"verdict_{name}": "keep" for name in ("words", "length", "pairing", "as_is")}
    return Comparison(**(values | changes))


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"chosen_rank": 2}, "chosen outranks rejected"),
        ({"verdict_words": "maybe"}, "verdict_words is one of"),
        ({"verdict_as_is": "drop"}, "a dropped comparison has a reason"),
        ({"dropped_because": "refusal"}, "a dropped comparison has a reason"),
        ({"verdict_words": "drop", "dropped_because": "dull"}, "dropped_because is one of"),
        ({"as_is_margin": float("nan")}, "as_is_margin is finite"),
    ],
)
def test_rules_of_comparisons(changes: dict[str, Any], rule: str):
    assert Comparison.to_table([comparison()]).num_rows == 1
    assert Comparison.to_table([comparison(verdict_words="drop", dropped_because="refusal")]).num_rows == 1
    with pytest.raises(ContractError, match=rule):
        Comparison.to_table([comparison(**changes)])


@pytest.mark.parametrize(
    ("kept", "changes"), [(True, {"verdict_as_is": "drop", "dropped_because": "refusal"}), (False, {})]
)
def test_a_table_that_says_kept_against_its_verdicts_is_refused(kept: bool, changes: dict[str, Any]):
    table = Comparison.to_table([comparison(**changes)])
    place = table.schema.get_field_index("kept")
    with pytest.raises(ContractError, match="kept exactly when no filter drops"):
        Comparison.check(table.set_column(place, "kept", pa.array([kept])))


HUMAN = (Turn(Role.HUMAN, "Hi?"),)
CANDIDATE = Candidate(text="Yes.", score=1.0, tokens=2, finish_reason=FinishReason.END, seed=1)
GOOD_ROWS: list[Row] = [
    Query(
        query_id="q1", query="Who?", attempt=0, seed=1, nearest_query_id=None, nearest_rouge_l=None,
        decontamination_checked=True, evaluation_overlap=None,
    ),
    RejectedQuery(
        rejection_id="r1", query="Who?", attempt=0, seed=1, rejected_because=QueryRejection.DUPLICATE, evidence="",
        nearest_query_id="q0", nearest_rouge_l=0.9,
    ),
    ContaminationVerdict(
        query_id="q1", query="Who?", kept=False, verdict=Contamination.OVERLAP, overlap_kind=OverlapKind.EXACT,
        matched_set="mmlu", matched_text_id="1:a#1", matched_text="Who?", score=1.0, sets_checked=1, texts_checked=9,
    ),
    CommunityAnswer(
        pair_id="c1", question="Who?", chosen="Me.", rejected="You.", chosen_votes=2, rejected_votes=1,
    ),
    Demonstration(
        demonstration_id="q1-t1", query_id="q1", turn=1, split=QuerySplit.SEEN, context=HUMAN, response="Yes.", score=1.0,
        candidates=(CANDIDATE,), chosen_candidate=0, usable=True,
    ),
    PreferencePair(
        pair_id="p1", query_id="q1", split=PairSplit.TRAIN, context=HUMAN, chosen="Yes.", rejected="No.", margin=0.5,
    ),
    PolicyPrompt(prompt_id="p1", query_id="q1", split=QuerySplit.SEEN, context=HUMAN),
    TrainingConversation(row_id="d1", context=HUMAN, response="Yes."),
    Response(
        response_id="q1-A", query_id="q1", query="Who?", responder="A", responder_rank=1, model="m", prompt_set="hhh",
        shots=1, response="", prompt_tokens=9, tokens=1, finish_reason=FinishReason.END, logprob=-0.5, seed=1,
    ),
    Rollout(
        rollout_id="r1", step=1, prompt_id="p1", query_id="q1", split=QuerySplit.SEEN, prompt="Who?", response="Me.",
        tokens=2, finish_reason=FinishReason.END, score=1.0, kl=0.0, reward=1.0, logprob=-1.0,
    ),
    RewardScore(
        pair_id="p1", query_id="q1", split=PairSplit.HELDOUT, chosen_score=1.0, rejected_score=0.0, chosen_chars=3,
        rejected_chars=0,
    ),
    MinedLine(line_id="l1", attempt=0, seed=1, shots=(), line="", tokens=1, finish_reason=FinishReason.STOP),
]  # fmt: skip
BROKEN = [
    ("queries", {"query": " "}, "query is not blank"),
    ("queries", {"evaluation_overlap": "mmlu#3"}, "no kept query overlaps"),
    ("queries", {"attempt": -1}, "attempt >= 0"),
    ("rejected_queries", {"nearest_query_id": None}, "a duplicate names its nearest query"),
    ("rejected_queries", {"rejected_because": "dull"}, "rejected_because is one of"),
    ("contamination_verdicts", {"verdict": "odd"}, "verdict is one of"),
    ("contamination_verdicts", {"verdict": "clean"}, "an overlap says by what"),
    ("contamination_verdicts", {"matched_text_id": None}, "an overlap says by what"),
    ("contamination_verdicts", {"texts_checked": 0}, "unchecked exactly when"),
    ("contamination_verdicts", {"overlap_kind": "smell"}, "overlap_kind is one of"),
    ("community_answers", {"rejected_votes": 2}, "chosen has more votes"),
    ("demonstrations", {"chosen_candidate": 1}, "chosen_candidate is one of the candidates"),
    ("demonstrations", {"chosen_candidate": -1}, "chosen_candidate is one of the candidates"),
    ("demonstrations", {"response": " "}, "a usable row has a response"),
    ("demonstrations", {"usable": False}, "a usable row has a response"),
    ("demonstrations", {"split": "half"}, "split is one of"),
    ("demonstrations", {"turn": 0}, "turn >= 1"),
    ("preference_pairs", {"rejected": "Yes."}, "chosen differs from rejected"),
    ("preference_pairs", {"context": ()}, "context is not empty"),
    ("preference_pairs", {"split": "test"}, "split is one of"),
    ("preference_pairs", {"margin": -0.1}, "margin >= 0"),
    ("policy_prompts", {"context": ()}, "context is not empty"),
    ("training_conversations", {"response": ""}, "response is not blank"),
    ("responses", {"finish_reason": "tired"}, "finish_reason is one of"),
    ("responses", {"responder_rank": 0}, "responder_rank >= 1"),
    ("responses", {"logprob": float("nan")}, "logprob is finite"),
    ("responses", {"finish_reason": "failed", "response": "Me."}, "a failed row has no response"),
    ("rollouts", {"tokens": 0}, "tokens >= 1"),
    ("rollouts", {"reward": float("inf")}, "reward is finite"),
    ("reward_scores", {"chosen_score": float("nan")}, "chosen_score is finite"),
    ("mined_lines", {"finish_reason": ""}, "finish_reason is one of"),
]


@pytest.mark.parametrize(("name", "changes", "rule"), BROKEN, ids=[f"{n}-{r}" for n, _, r in BROKEN])
def test_rules_of_the_other_tables(name: str, changes: dict[str, Any], rule: str, tmp_path: Path):
    good = next(row for row in GOOD_ROWS if row.table == name)
    contract = type(good)
    contract.write_file([good], tmp_path / "part.parquet")
    assert list(contract.read_files([tmp_path / "part.parquet"])) == [good]
    with pytest.raises(ContractError, match=rule):
        contract.to_table([replace(good, **changes)])  # type: ignore[type-var]
