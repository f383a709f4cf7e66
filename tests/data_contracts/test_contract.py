"""Every table contract: casts, nulls, keys, rules and the Parquet round trip."""

import importlib
import pkgutil
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import data_contracts
from data_contracts.comparisons import Comparisons
from data_contracts.contract import (
    CONTRACT_METADATA,
    Contract,
    Rule,
    at_least,
    boolean,
    finite,
    integer,
    not_blank,
    number,
    one_of,
    text,
)
from data_contracts.errors import ContractError


def all_contracts() -> list[type[Contract]]:
    for module in pkgutil.iter_modules(data_contracts.__path__):
        importlib.import_module(f"data_contracts.{module.name}")
    return sorted((c for c in Contract.__subclasses__() if c.__module__.startswith("data_contracts.")), key=str)


class Animals(Contract):
    name = "animals"
    schema = pa.schema(
        [
            text("animal_id"),
            integer("legs"),
            number("weight", nullable=True),
            boolean("tame"),
            text("sound", nullable=True),
        ]
    )
    key = "animal_id"
    rules = (
        not_blank("animal_id"),
        at_least("legs", 0),
        finite("weight"),
        one_of("sound", ("woof", "miaow")),
        Rule("tame ones have legs", lambda t: pc.or_(pc.invert(t["tame"]), pc.greater(t["legs"], 0))),
    )


class AnimalsNext(Animals):
    version = 2


def animal(number: int = 1, **changes: object) -> dict[str, object]:
    return {"animal_id": f"a{number}", "legs": 4, "weight": 2.5, "tame": True, "sound": "woof"} | changes


# --- every contract of the project ------------------------------------------------------------------------------


def test_the_contracts_are_found():
    names = [contract.name for contract in all_contracts()]
    assert {"queries", "responses", "comparisons", "demonstrations", "rollouts", "evaluations"} <= set(names)
    assert len(set(names)) == len(names), "two contracts share a name, hence a folder in the store"


@pytest.mark.parametrize("contract", all_contracts(), ids=lambda c: c.name)
def test_a_contract_is_well_formed_and_an_empty_table_obeys_it(contract: type[Contract]):
    assert contract.key in contract.schema.names
    assert not contract.schema.field(contract.key).nullable
    names = [rule.name for rule in contract.rules]
    assert len(set(names)) == len(names)
    assert contract.check(contract.empty()).schema == contract.schema
    for rule in contract.rules:
        assert len(rule.holds(contract.empty())) == 0, f"rule '{rule.name}' names a column that is not there"


@pytest.mark.parametrize("contract", all_contracts(), ids=lambda c: c.name)
def test_an_empty_table_survives_parquet(contract: type[Contract], tmp_path: Path):
    path = tmp_path / "part.parquet"
    contract.write_part(contract.empty(), path)
    assert contract.read_parts([path]).schema == contract.schema
    assert pq.read_schema(path).metadata[CONTRACT_METADATA] == contract.contract_id().encode()


# --- casting ----------------------------------------------------------------------------------------------------


def test_columns_are_put_in_order_and_cast():
    table = pa.table(
        {
            "sound": pa.array(["woof"], pa.large_string()),
            "tame": [True],
            "weight": pa.array([2], pa.int32()),
            "legs": pa.array([4], pa.int8()),
            "animal_id": ["a1"],
        }
    )
    checked = Animals.check(table)
    assert checked.schema == Animals.schema
    assert checked.to_pylist() == [animal(weight=2.0)]


def test_a_cast_that_loses_something_is_refused():
    table = pa.Table.from_pylist([animal()]).set_column(1, "legs", pa.array([4.5]))
    with pytest.raises(ContractError, match=r"animals@1: .*4.5"):
        Animals.check(table)


def test_missing_and_unknown_columns_are_named():
    table = pa.Table.from_pylist([animal(colour="red")]).drop_columns(["legs"])
    with pytest.raises(ContractError, match=r"missing columns \['legs'\], unknown columns \['colour'\]"):
        Animals.check(table)
    with pytest.raises(ContractError, match=r"lacks \['legs'\] and has unknown \['colour'\]"):
        Animals.from_rows([animal(), {k: v for k, v in animal(2, colour="red").items() if k != "legs"}])


def test_a_value_of_another_type_is_a_contract_error():
    with pytest.raises(ContractError, match="animals@1"):
        Animals.from_rows([animal(legs="four")])


def test_a_repeated_column_is_a_contract_error():
    table = pa.Table.from_pylist([animal()])
    with pytest.raises(ContractError, match="animals@1"):
        Animals.check(table.append_column("legs", table["legs"]))


# --- problems ---------------------------------------------------------------------------------------------------


def test_nulls_are_counted_per_column():
    rows = [animal(1, legs=None), animal(2, legs=None), animal(3, weight=None, sound=None)]
    with pytest.raises(ContractError, match="column 'legs' is null in 2 of 3 rows"):
        Animals.from_rows(rows)
    assert Animals.from_rows(rows[2:]).num_rows == 1


def test_a_repeated_key_is_named_with_examples():
    rows = [animal(n) for n in (1, 1, 1, 2, 2, 3, 4)]
    with pytest.raises(ContractError) as raised:
        Animals.from_rows(rows)
    assert str(raised.value) == "animals@1: key 'animal_id' repeats in 3 of 7 rows, e.g. ['a1', 'a2']"


def test_a_broken_rule_is_told_with_count_and_three_keys():
    rows = [animal(n, legs=-1 if n <= 1200 else 4, tame=False) for n in range(1, 2001)]
    with pytest.raises(ContractError) as raised:
        Animals.from_rows(rows)
    assert str(raised.value) == (
        "animals@1: 'legs >= 0' broken by 1,200 of 2,000 rows, e.g. animal_id ['a1', 'a2', 'a3']"
    )


def test_all_problems_are_listed_at_once():
    rows = [animal(1, legs=-1), animal(1, weight=float("nan")), animal(2, sound="moo"), animal(3, legs=0)]
    with pytest.raises(ContractError) as raised:
        Animals.from_rows(rows)
    message = str(raised.value)
    assert message.count(";") == 4
    for problem in ("key 'animal_id' repeats", "'legs >= 0'", "'weight is finite'", "'sound is one of woof, miaow'"):
        assert problem in message
    assert "'tame ones have legs' broken by 2 of 4 rows, e.g. animal_id ['a1', 'a3']" in message


@pytest.mark.parametrize("weight", [float("inf"), float("-inf"), float("nan")])
def test_finite_refuses(weight: float):
    with pytest.raises(ContractError, match="weight is finite"):
        Animals.from_rows([animal(weight=weight)])


@pytest.mark.parametrize("blank", ["", " ", "\n\t"])
def test_not_blank_refuses(blank: str):
    with pytest.raises(ContractError, match="animal_id is not blank"):
        Animals.from_rows([animal(animal_id=blank)])


def test_a_rule_that_gives_null_counts_as_broken():
    class Odd(Contract):
        name = "odd"
        schema = pa.schema([text("odd_id"), number("weight", nullable=True)])
        key = "odd_id"
        rules = (Rule("weight is over 1", lambda t: pc.greater(t["weight"], 1)),)

    with pytest.raises(ContractError, match="broken by 1 of 2 rows"):
        Odd.from_rows([{"odd_id": "a", "weight": 2.0}, {"odd_id": "b", "weight": None}])


# --- Parquet ----------------------------------------------------------------------------------------------------


def test_parts_are_read_in_the_given_order_without_the_footer_in_the_schema(tmp_path: Path):
    for n in (1, 2):
        Animals.write_part(Animals.from_rows([animal(n)]), tmp_path / f"{n}.parquet")
    table = Animals.read_parts([tmp_path / "2.parquet", tmp_path / "1.parquet"])
    assert table["animal_id"].to_pylist() == ["a2", "a1"]
    assert table.schema.equals(Animals.schema, check_metadata=True)
    assert Animals.read_parts([]).num_rows == 0


def test_another_contract_or_version_is_refused(tmp_path: Path):
    path = tmp_path / "part.parquet"
    AnimalsNext.write_part(Animals.from_rows([animal()]), path)
    with pytest.raises(ContractError, match="holds contract animals@2, expected animals@1"):
        Animals.read_parts([path])
    pq.write_table(Animals.from_rows([animal()]), path)
    with pytest.raises(ContractError, match="holds contract none"):
        Animals.read_parts([path])


@pytest.mark.parametrize("content", [b"", b"PAR1", b"not parquet at all"])
def test_a_file_that_is_not_parquet_is_a_contract_error(tmp_path: Path, content: bytes):
    path = tmp_path / "part.parquet"
    path.write_bytes(content)
    with pytest.raises(ContractError, match="cannot read"):
        Animals.read_parts([path])
    with pytest.raises(ContractError, match="cannot read"):
        Animals.read_parts([tmp_path / "absent.parquet"])


def test_writing_checks_and_leaves_nothing_behind(tmp_path: Path):
    bad = Animals.from_rows([animal()]).set_column(1, "legs", pa.array([-1]))
    with pytest.raises(ContractError):
        Animals.write_part(bad, tmp_path / "part.parquet")
    assert list(tmp_path.iterdir()) == []
    Animals.write_part(Animals.from_rows([animal()]), tmp_path / "part.parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["part.parquet"]


def test_equal_tables_give_equal_bytes(tmp_path: Path):
    rows = [animal(n, weight=n / 7) for n in range(500)]
    table = Animals.from_rows(rows)
    chunked = pa.concat_tables([table.slice(0, 123), table.slice(123)])  # the same rows, otherwise laid out
    Animals.write_part(table, tmp_path / "1.parquet")
    Animals.write_part(chunked.combine_chunks(), tmp_path / "2.parquet")
    Animals.write_part(chunked, tmp_path / "3.parquet")
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


def test_the_fingerprint_sees_names_types_order_and_nullability():
    def fingerprint(*fields: pa.Field) -> str:
        return type("Shape", (Contract,), {"schema": pa.schema(list(fields))}).fingerprint()

    shapes = [
        fingerprint(text("a"), integer("b")),
        fingerprint(integer("b"), text("a")),
        fingerprint(text("a"), number("b")),
        fingerprint(text("a"), integer("b", nullable=True)),
        fingerprint(text("a"), integer("c")),
    ]
    assert len(set(shapes)) == len(shapes)
    assert fingerprint(text("a"), integer("b")) == shapes[0]


# --- rules of single tables, by hand ----------------------------------------------------------------------------


def comparison(**changes: object) -> dict[str, object]:
    row: dict[str, object] = dict.fromkeys(Comparisons.schema.names, "x")
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
    assert Comparisons.from_rows([comparison()]).num_rows == 1
    assert (
        Comparisons.from_rows([comparison(kept=False, verdict_words="drop", dropped_because="refusal")]).num_rows == 1
    )
    with pytest.raises(ContractError, match=rule):
        Comparisons.from_rows([comparison(**changes)])


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
