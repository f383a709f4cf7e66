"""Rules of single tables, on rows made by hand."""

from pathlib import Path

import pytest

from data_contracts.errors import ContractError
from data_contracts.tables.comparisons import Comparison
from tests.data_contracts.tables.all_contracts import all_contracts


def comparison(**changes: object) -> dict[str, object]:
    row: dict[str, object] = dict.fromkeys(Comparison.schema().names, "x")
    row |= {"chosen_rank": 1, "rejected_rank": 2, "kept": True, "dropped_because": None, "evidence": None}
    row |= {f"verdict_{name}": "keep" for name in ("words", "length", "pairing", "as_is")}
    return row | {"length_mean": None, "length_std": None, "as_is_margin": None} | changes


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"chosen_rank": 2}, "chosen outranks rejected"),
        ({"verdict_words": "maybe"}, "verdict_words is one of"),
        ({"verdict_as_is": "drop"}, "kept exactly when no filter drops"),
        ({"kept": False, "dropped_because": "refusal"}, "kept exactly when no filter drops"),
        ({"kept": False, "verdict_words": "drop"}, "a dropped comparison has a reason"),
        ({"dropped_because": "refusal"}, "a dropped comparison has a reason"),
        ({"kept": False, "verdict_words": "drop", "dropped_because": "dull"}, "dropped_because is one of"),
        ({"as_is_margin": float("nan")}, "as_is_margin is finite"),
    ],
)
def test_rules_of_comparisons(changes: dict[str, object], rule: str):
    assert Comparison.from_rows([comparison()]).num_rows == 1
    assert Comparison.from_rows([comparison(kept=False, verdict_words="drop", dropped_because="refusal")]).num_rows == 1
    with pytest.raises(ContractError, match=rule):
        Comparison.from_rows([comparison(**changes)])


HUMAN = [{"role": "human", "text": "Hi?"}]
CANDIDATE = {"text": "Yes.", "score": 1.0, "tokens": 2, "finish_reason": "end", "seed": 1}
GOOD_ROWS: dict[str, dict[str, object]] = {
    "queries": {
        "query_id": "q1", "query": "Who?", "attempt": 0, "seed": 1, "nearest_query_id": None, "nearest_rouge_l": None,
        "decontamination_checked": True, "evaluation_overlap": None,
    },
    "rejected_queries": {
        "rejection_id": "r1", "query": "Who?", "attempt": 0, "seed": 1, "rejected_because": "duplicate",
        "evidence": "", "nearest_query_id": "q0", "nearest_rouge_l": 0.9,
    },
    "contamination_verdicts": {
        "query_id": "q1", "query": "Who?", "kept": False, "verdict": "overlap", "overlap_kind": "exact",
        "matched_set": "mmlu", "matched_text_id": "1:a#1", "matched_text": "Who?", "score": 1.0, "sets_checked": 1,
        "texts_checked": 9,
    },
    "community_answers": {
        "pair_id": "c1", "question": "Who?", "chosen": "Me.", "rejected": "You.", "chosen_votes": 2, "rejected_votes": 1,
    },
    "demonstrations": {
        "demonstration_id": "q1-t1", "query_id": "q1", "turn": 1, "split": "seen", "context": HUMAN,
        "response": "Yes.", "score": 1.0, "candidates": [CANDIDATE], "chosen_candidate": 0, "usable": True,
    },
    "preference_pairs": {
        "pair_id": "p1", "query_id": "q1", "split": "train", "context": HUMAN, "chosen": "Yes.", "rejected": "No.", "margin": 0.5,
    },
    "policy_prompts": {"prompt_id": "p1", "query_id": "q1", "split": "seen", "context": HUMAN},
    "training_conversations": {"row_id": "d1", "context": HUMAN, "response": "Yes."},
    "responses": {
        "response_id": "q1-A", "query_id": "q1", "query": "Who?", "responder": "A", "responder_rank": 1, "model": "m",
        "prompt_set": "hhh", "shots": 1, "response": "", "prompt_tokens": 9, "tokens": 1, "finish_reason": "end",
        "logprob": -0.5, "seed": 1,
    },
    "rollouts": {
        "rollout_id": "r1", "step": 1, "prompt_id": "p1", "query_id": "q1", "split": "seen", "prompt": "Who?",
        "response": "Me.", "tokens": 2, "finish_reason": "end", "score": 1.0, "kl": 0.0, "reward": 1.0, "logprob": -1.0,
    },
    "reward_scores": {
        "pair_id": "p1", "query_id": "q1", "split": "heldout", "chosen_score": 1.0, "rejected_score": 0.0,
        "chosen_chars": 3, "rejected_chars": 0,
    },
    "mined_lines": {
        "line_id": "l1", "attempt": 0, "seed": 1, "shots": [], "line": "", "tokens": 1, "finish_reason": "stop",
    },
}  # fmt: skip
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
    ("preference_pairs", {"context": []}, "context is not empty"),
    ("preference_pairs", {"split": "test"}, "split is one of"),
    ("preference_pairs", {"margin": -0.1}, "margin >= 0"),
    ("policy_prompts", {"context": []}, "context is not empty"),
    ("training_conversations", {"response": ""}, "response is not blank"),
    ("responses", {"finish_reason": "tired"}, "finish_reason is one of"),
    ("responses", {"responder_rank": 0}, "responder_rank >= 1"),
    ("responses", {"logprob": float("nan")}, "logprob is finite"),
    ("rollouts", {"tokens": 0}, "tokens >= 1"),
    ("rollouts", {"reward": float("inf")}, "reward is finite"),
    ("reward_scores", {"chosen_score": float("nan")}, "chosen_score is finite"),
    ("mined_lines", {"finish_reason": ""}, "finish_reason is one of"),
]


@pytest.mark.parametrize(("name", "changes", "rule"), BROKEN, ids=[f"{n}-{r}" for n, _, r in BROKEN])
def test_rules_of_the_other_tables(name: str, changes: dict[str, object], rule: str, tmp_path: Path):
    contract = next(c for c in all_contracts() if c.name == name)
    good = contract.from_rows([GOOD_ROWS[name]])
    contract.write_part(good, tmp_path / "part.parquet")
    assert contract.read_parts([tmp_path / "part.parquet"]).to_pylist() == [GOOD_ROWS[name]]
    with pytest.raises(ContractError, match=rule):
        contract.from_rows([GOOD_ROWS[name] | changes])
