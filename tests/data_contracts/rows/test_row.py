"""Row classes, those of the project and one made for the test: casts, nulls, keys, rules and the Parquet round trip."""

from dataclasses import FrozenInstanceError, asdict, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_contracts.errors import ContractError
from data_contracts.rows.arrow import compute as pc
from data_contracts.rows.row import CONTRACT_METADATA, Row
from data_contracts.rows.rules import Rule, at_least, finite, not_blank, one_of
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


class AnimalsNext(Animals, version=2):
    """The same table under its next version."""


def animal(number: int = 1, **changes: Any) -> Animals:
    values = {"animal_id": f"a{number}", "legs": 4, "weight": 2.5, "tame": True, "sound": "woof"}
    return Animals(**(values | changes))


def plain(row: Animals, **changes: Any) -> pa.Table:
    """A table of one row that no contract has checked."""
    return pa.Table.from_pylist([asdict(row) | changes])


# --- every contract of the project ------------------------------------------------------------------------------


def test_the_contracts_are_found():
    names = [contract.table for contract in all_contracts()]
    assert {"queries", "responses", "comparisons", "demonstrations", "rollouts", "evaluations"} <= set(names)
    assert len(set(names)) == len(names), "two contracts share a table name, hence a folder in the store"


@pytest.mark.parametrize("contract", all_contracts(), ids=lambda c: c.table)
def test_a_contract_is_well_formed_and_an_empty_table_obeys_it(contract: type[Row]):
    assert contract.key in contract.schema().names
    assert not contract.schema().field(contract.key).nullable
    names = [rule.name for rule in contract.all_rules()]
    assert len(set(names)) == len(names)
    assert contract.check(contract.empty()).schema == contract.schema()
    for rule in contract.all_rules():
        assert len(rule.holds(contract.empty())) == 0, f"rule '{rule.name}' names a column that is not there"


@pytest.mark.parametrize("contract", all_contracts(), ids=lambda c: c.table)
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
    assert list(Animals.from_table(checked)) == [animal(weight=2.0)]


def test_a_cast_that_loses_something_is_refused():
    table = plain(animal()).set_column(1, "legs", pa.array([4.5]))
    with pytest.raises(ContractError, match=r"animals@1: .*4.5"):
        Animals.check(table)


def test_missing_and_unknown_columns_are_named():
    table = plain(animal(), colour="red").drop_columns(["legs"])
    with pytest.raises(ContractError, match=r"missing columns \['legs'\], unknown columns \['colour'\]"):
        Animals.check(table)


def test_a_row_has_exactly_the_contract_s_fields_and_does_not_change():
    with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
        animal(colour="red")
    with pytest.raises(TypeError, match="missing 4 required keyword-only arguments"):
        Animals(animal_id="a1")  # pyright: ignore[reportCallIssue]
    with pytest.raises(TypeError, match="positional"):
        Animals("a1")  # pyright: ignore[reportCallIssue]
    with pytest.raises(FrozenInstanceError):
        animal().legs = 3  # pyright: ignore[reportAttributeAccessIssue]
    assert replace(animal(), legs=3) == animal(legs=3)


def test_a_value_of_another_type_is_a_contract_error():
    with pytest.raises(ContractError, match="animals@1: column 'legs'"):
        Animals.to_table([animal(legs="four")])
    with pytest.raises(ContractError, match="animals@1: column 'sound'"):
        Animals.to_table([animal(sound=3)])


def test_a_repeated_column_is_a_contract_error():
    table = plain(animal())
    with pytest.raises(ContractError, match="animals@1"):
        Animals.check(table.append_column("legs", table["legs"]))


# --- problems ---------------------------------------------------------------------------------------------------


def test_nulls_are_counted_per_column():
    rows = [animal(1, legs=None), animal(2, legs=None), animal(3, weight=None, sound=None)]
    with pytest.raises(ContractError, match="column 'legs' is null in 2 of 3 rows"):
        Animals.to_table(rows)
    assert Animals.to_table(rows[2:]).num_rows == 1


def test_a_repeated_key_is_named_with_examples():
    rows = [animal(n) for n in (1, 1, 1, 2, 2, 3, 4)]
    with pytest.raises(ContractError) as raised:
        Animals.to_table(rows)
    assert str(raised.value) == "animals@1: key 'animal_id' repeats in 3 of 7 rows, e.g. ['a1', 'a2']"


def test_a_broken_rule_is_told_with_count_and_three_keys():
    rows = [animal(n, legs=-1 if n <= 1200 else 4, tame=False) for n in range(1, 2001)]
    with pytest.raises(ContractError) as raised:
        Animals.to_table(rows)
    assert str(raised.value) == (
        "animals@1: 'legs >= 0' broken by 1,200 of 2,000 rows, e.g. animal_id ['a1', 'a2', 'a3']"
    )


def test_all_problems_are_listed_at_once():
    rows = [animal(1, legs=-1), animal(1, weight=float("nan")), animal(2, sound="moo"), animal(3, legs=0)]
    with pytest.raises(ContractError) as raised:
        Animals.to_table(rows)
    message = str(raised.value)
    assert message.count(";") == 4
    for problem in ("key 'animal_id' repeats", "'legs >= 0'", "'weight is finite'", "'sound is one of woof, miaow'"):
        assert problem in message
    assert "'tame ones have legs' broken by 2 of 4 rows, e.g. animal_id ['a1', 'a3']" in message


@pytest.mark.parametrize("weight", [float("inf"), float("-inf"), float("nan")])
def test_finite_refuses(weight: float):
    with pytest.raises(ContractError, match="weight is finite"):
        Animals.to_table([animal(weight=weight)])


@pytest.mark.parametrize("blank", ["", " ", "\n\t"])
def test_not_blank_refuses(blank: str):
    with pytest.raises(ContractError, match="animal_id is not blank"):
        Animals.to_table([animal(animal_id=blank)])


def test_a_rule_that_gives_null_counts_as_broken():
    class Odd(Row, table="odd", key="odd_id"):
        odd_id: str
        weight: float | None
        rules = (Rule("weight is over 1", lambda t: pc.greater(t["weight"], 1)),)

    with pytest.raises(ContractError, match="broken by 1 of 2 rows"):
        Odd.to_table([Odd(odd_id="a", weight=2.0), Odd(odd_id="b", weight=None)])


# --- Parquet ----------------------------------------------------------------------------------------------------


def test_parts_are_read_in_the_given_order_without_the_footer_in_the_schema(tmp_path: Path):
    for n in (1, 2):
        Animals.write_part(Animals.to_table([animal(n)]), tmp_path / f"{n}.parquet")
    table = Animals.read_parts([tmp_path / "2.parquet", tmp_path / "1.parquet"])
    assert table["animal_id"].to_pylist() == ["a2", "a1"]
    assert table.schema.equals(Animals.schema(), check_metadata=True)
    assert Animals.read_parts([]).num_rows == 0


def test_another_contract_or_version_is_refused(tmp_path: Path):
    path = tmp_path / "part.parquet"
    AnimalsNext.write_part(Animals.to_table([animal()]), path)
    with pytest.raises(ContractError, match="holds contract animals@2, expected animals@1"):
        Animals.read_parts([path])
    pq.write_table(Animals.to_table([animal()]), path)
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
    bad = Animals.to_table([animal()]).set_column(1, "legs", pa.array([-1]))
    with pytest.raises(ContractError):
        Animals.write_part(bad, tmp_path / "part.parquet")
    assert list(tmp_path.iterdir()) == []
    Animals.write_part(Animals.to_table([animal()]), tmp_path / "part.parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["part.parquet"]


def test_equal_tables_give_equal_bytes(tmp_path: Path):
    rows = [animal(n, weight=n / 7) for n in range(500)]
    table = Animals.to_table(rows)
    chunked = pa.concat_tables([table.slice(0, 123), table.slice(123)])  # the same rows, otherwise laid out
    Animals.write_part(table, tmp_path / "1.parquet")
    Animals.write_part(chunked.combine_chunks(), tmp_path / "2.parquet")
    Animals.write_part(chunked, tmp_path / "3.parquet")
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


def test_rows_are_written_and_read_as_rows(tmp_path: Path):
    rows = [animal(1), animal(2, weight=None, sound=None)]
    Animals.write_file(rows, tmp_path / "part.parquet")
    assert list(Animals.read_files([tmp_path / "part.parquet"])) == rows
    assert list(Animals.from_table(Animals.read_parts([tmp_path / "part.parquet"]))) == rows


def test_reading_rows_asks_for_the_contract_too(tmp_path: Path):
    AnimalsNext.write_file([AnimalsNext(**asdict(animal()))], tmp_path / "part.parquet")
    with pytest.raises(ContractError, match="holds contract animals@2, expected animals@1"):
        list(Animals.read_files([tmp_path / "part.parquet"]))


def test_the_fingerprint_sees_names_types_order_and_nullability():
    def fingerprint(**fields: Any) -> str:
        return type("Shape", (Row,), {"__annotations__": fields}).fingerprint()

    shapes = [
        fingerprint(a=str, b=int),
        fingerprint(b=int, a=str),
        fingerprint(a=str, b=float),
        fingerprint(a=str, b=int | None),
        fingerprint(a=str, c=int),
    ]
    assert len(set(shapes)) == len(shapes)
    assert fingerprint(a=str, b=int) == shapes[0]
