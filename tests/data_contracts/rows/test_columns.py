"""From field types to Arrow columns and back: every type, nulls, enums, nested dataclasses, derived columns, refusals."""

from dataclasses import asdict, dataclass, replace
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from data_contracts.errors import ContractError
from data_contracts.rows.columns import column_of
from data_contracts.rows.row import Row, column
from data_contracts.tables.comparisons import Comparison, DropReason, FilterVerdict
from tests.data_contracts.tables.test_contract_rules import comparison


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Size(IntEnum):
    SMALL = 1


@dataclass(frozen=True)
class Mark:
    colour: Colour
    weight: float | None


@dataclass(frozen=True)
class Picture:
    title: str
    marks: tuple[Mark, ...]


class Everything(Row, table="everything", key="text"):
    text: str
    number: int
    amount: float
    flag: bool
    colour: Colour
    words: tuple[str, ...]
    colours: tuple[Colour, ...]
    mark: Mark
    marks: tuple[Mark, ...]
    picture: Picture
    no_text: str | None
    no_number: int | None
    no_amount: float | None
    no_flag: bool | None
    no_colour: Colour | None
    no_words: tuple[str, ...] | None
    no_mark: Mark | None

    @column
    def longest(self) -> int | None:
        """The longest word's length."""
        return max((len(word) for word in self.words or ()), default=None)

    @column
    def warm(self) -> bool:
        """Whether the colour is red."""
        return self.colour is Colour.RED


RED = Mark(Colour.RED, 1.5)
FULL = Everything(
    text="a", number=-3, amount=0.5, flag=True, colour=Colour.BLUE, words=("one", "three"), colours=(Colour.RED, Colour.BLUE),
    mark=RED, marks=(RED, Mark(Colour.BLUE, None)), picture=Picture("p", (RED,)), no_text="x", no_number=1, no_amount=2.0,
    no_flag=False, no_colour=Colour.RED, no_words=("w",), no_mark=RED,
)  # fmt: skip
NULLS = {name: None for name in Everything.columns() if name.startswith("no_")}
BARE = replace(FULL, text="b", words=(), colours=(), marks=(), picture=Picture("", ()), **NULLS)

MARK = pa.struct([pa.field("colour", pa.string(), nullable=False), pa.field("weight", pa.float64())])
PICTURE = pa.struct([pa.field("title", pa.string(), nullable=False), pa.field("marks", pa.list_(MARK), nullable=False)])
TYPES = {
    "text": pa.string(), "number": pa.int64(), "amount": pa.float64(), "flag": pa.bool_(), "colour": pa.string(),
    "words": pa.list_(pa.string()), "colours": pa.list_(pa.string()), "mark": MARK, "marks": pa.list_(MARK), "picture": PICTURE,
    "no_text": pa.string(), "no_number": pa.int64(), "no_amount": pa.float64(), "no_flag": pa.bool_(),
    "no_colour": pa.string(), "no_words": pa.list_(pa.string()), "no_mark": MARK, "longest": pa.int64(), "warm": pa.bool_(),
}  # fmt: skip


# --- schemas ----------------------------------------------------------------------------------------------------


def test_the_schema_follows_from_the_fields_in_their_order_then_the_derived_ones():
    assert Everything.schema().names == list(TYPES)
    assert {field.name: field.type for field in Everything.schema()} == TYPES


@pytest.mark.parametrize("name", TYPES)
def test_a_column_may_be_null_exactly_where_the_type_says_so(name: str):
    assert Everything.schema().field(name).nullable == (name.startswith("no_") or name == "longest")


@pytest.mark.parametrize(
    "annotation",
    [bytes, Size, list[str], tuple[str, int], tuple[str], dict[str, int], Any, str | int | None, tuple[list[int], ...], Path],
    ids=str,
)  # fmt: skip
def test_other_types_are_refused(annotation: Any):
    with pytest.raises((TypeError, ValueError)):
        column_of("odd", annotation)


def test_a_row_class_with_a_field_that_has_no_column_is_refused_when_it_is_defined():
    with pytest.raises(TypeError, match=r"field 'names' has type .*, which has no column"):

        class Odd(Row, table="odd", key="odd_id"):  # pyright: ignore[reportUnusedClass]
            odd_id: str
            names: list[str]


# --- values -----------------------------------------------------------------------------------------------------


def test_rows_of_every_type_come_back_as_they_were(tmp_path: Path):
    Everything.write_file([FULL, BARE], tmp_path / "part.parquet")
    full, bare = Everything.read_files([tmp_path / "part.parquet"])
    assert (full, bare) == (FULL, BARE)
    assert full.colour is Colour.BLUE
    assert full.colours[0] is Colour.RED
    assert full.marks[1].colour is Colour.BLUE
    assert isinstance(full.picture.marks, tuple)


@pytest.mark.parametrize(
    "name", [name for name in TYPES if not name.startswith("no_") and name not in ("longest", "warm")]
)
def test_null_is_refused_where_the_type_does_not_allow_it(name: str):
    with pytest.raises(ContractError, match=f"everything@1: column '{name}' is null in 1 of 1 rows"):
        Everything.to_table([replace(FULL, **{name: None})])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("number", "4"),
        ("number", 2**70),
        ("flag", "yes"),
        ("words", 7),
        ("mark", "red"),
        ("marks", (1,)),
    ],
)
def test_a_value_of_another_type_names_its_column(name: str, value: Any):
    with pytest.raises(ContractError, match=f"everything@1: column '{name}'"):
        Everything.to_table([replace(FULL, **{name: value})])


# --- enums ------------------------------------------------------------------------------------------------------


def test_the_type_of_an_enum_is_a_rule_of_the_table():
    assert [rule.name for rule in Everything.all_rules()] == [
        "colour is one of red, blue",
        "no_colour is one of red, blue",
    ]
    assert column_of("colour", Colour).values == ("red", "blue")
    assert column_of("text", str).rule() is None
    with pytest.raises(ContractError, match="'colour is one of red, blue' broken by 1 of 1 rows"):
        Everything.to_table([replace(FULL, colour="green")])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("colours", ("green",)),
        ("mark", Mark("green", None)),  # pyright: ignore[reportArgumentType]
        ("picture", Picture("p", (RED, Mark("green", None)))),  # pyright: ignore[reportArgumentType]
    ],
    ids=["in a list", "in a struct", "deep inside"],
)
def test_a_value_that_is_no_member_is_refused_inside_lists_and_structs_too(name: str, value: Any):
    with pytest.raises(ContractError, match=f"column '{name}': 'green' is no Colour; known: red, blue"):
        Everything.to_table([replace(FULL, **{name: value})])


# --- derived columns --------------------------------------------------------------------------------------------


def test_derived_columns_are_written_and_derived_again_when_read():
    table = Everything.to_table([FULL, BARE])
    assert table["longest"].to_pylist() == [5, None]
    assert table["warm"].to_pylist() == [False, False]
    falsified = table.set_column(table.schema.get_field_index("warm"), "warm", pa.array([True, True]))
    assert [row.warm for row in Everything.from_table(falsified)] == [False, False]


def test_a_derived_column_is_no_argument():
    with pytest.raises(TypeError, match="warm"):
        replace(FULL, warm=True)


def test_a_subclass_inherits_derived_columns():
    class More(Everything, table="more"):
        extra: int

    assert More.schema().names == [*list(TYPES)[:-2], "extra", "longest", "warm"]


def test_kept_of_a_comparison_follows_from_its_verdicts(tmp_path: Path):
    good = comparison()
    bad = comparison(comparison_id="y", verdict_words=FilterVerdict.DROP, dropped_because=DropReason.REFUSAL)
    assert (good.kept, bad.kept) == (True, False)
    assert "kept" not in asdict(bad)
    Comparison.write_file([good, bad], tmp_path / "part.parquet")
    assert Comparison.read_parts([tmp_path / "part.parquet"])["kept"].to_pylist() == [True, False]
    assert list(Comparison.read_files([tmp_path / "part.parquet"])) == [good, bad]
    assert replace(bad, verdict_words=FilterVerdict.KEEP, dropped_because=None).kept
