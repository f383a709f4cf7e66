"""Every table contract: casts, nulls, keys, rules and the Parquet round trip."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from data_contracts.errors import ContractError
from data_contracts.tables.row import CONTRACT_METADATA, Row
from data_contracts.tables.rules import Rule, at_least, finite, not_blank, one_of
from tests.data_contracts.tables.all_contracts import all_contracts


class Animals(Row, table="animals", key="animal_id"):
    animal_id: str
    legs: int
    weight: float | None
    tame: bool
    sound: str | None
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
def test_a_contract_is_well_formed_and_an_empty_table_obeys_it(contract: type[Row]):
    assert contract.key in contract.schema().names
    assert not contract.schema().field(contract.key).nullable
    names = [rule.name for rule in contract.rules]
    assert len(set(names)) == len(names)
    assert contract.check(contract.empty()).schema == contract.schema()
    for rule in contract.rules:
        assert len(rule.holds(contract.empty())) == 0, f"rule '{rule.name}' names a column that is not there"


@pytest.mark.parametrize("contract", all_contracts(), ids=lambda c: c.name)
def test_an_empty_table_survives_parquet(contract: type[Row], tmp_path: Path):
    path = tmp_path / "part.parquet"
    contract.write_part(contract.empty(), path)
    assert contract.read_parts([path]).schema == contract.schema()
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
    assert checked.schema == Animals.schema()
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
    class Odd(Row):
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
    assert table.schema.equals(Animals.schema(), check_metadata=True)
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
        return type("Shape", (Row,), {"schema": pa.schema(list(fields))}).fingerprint()

    shapes = [
        fingerprint(text("a"), integer("b")),
        fingerprint(integer("b"), text("a")),
        fingerprint(text("a"), number("b")),
        fingerprint(text("a"), integer("b", nullable=True)),
        fingerprint(text("a"), integer("c")),
    ]
    assert len(set(shapes)) == len(shapes)
    assert fingerprint(text("a"), integer("b")) == shapes[0]
