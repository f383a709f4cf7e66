"""Rows in memory, streamed, from files, in shards: iterated, as tables, as columns, as often as one likes."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from data_contracts.errors import ContractError
from data_contracts.rows import rows as rows_module
from data_contracts.rows.row import Row
from data_contracts.rows.rows import (
    FileRows,
    ListedRows,
    Rows,
    Sharded,
    StreamedRows,
    file_rows,
    joined,
    rows_of,
    shard_ranges,
    stream,
)
from data_contracts.rows.rules import at_least


class Animal(Row, table="animals", key="animal_id"):
    animal_id: str
    legs: int
    rules = (at_least("legs", 0),)


ANIMALS = [Animal(animal_id=f"a{number}", legs=number) for number in range(5)]


def listed(animals: list[Animal], folder: Path) -> Rows[Animal]:
    return rows_of(Animal, animals)


def streamed(animals: list[Animal], folder: Path) -> Rows[Animal]:
    return stream(Animal, lambda: (animal for animal in animals))


def in_files(animals: list[Animal], folder: Path) -> Rows[Animal]:
    Animal.write_file(animals[:2], folder / "0.parquet")
    Animal.write_file(animals[2:], folder / "1.parquet")
    return file_rows(Animal, [folder / "0.parquet", folder / "1.parquet"])


def in_shards(animals: list[Animal], folder: Path) -> Rows[Animal]:
    return Sharded(Animal, [animals[:3], animals[3:]])


def in_tables(animals: list[Animal], folder: Path) -> Rows[Animal]:
    return joined(Animal, [rows_of(Animal, animals[:1]), stream(Animal, lambda: animals[1:])])


@pytest.fixture(params=[listed, streamed, in_files, in_shards, in_tables], ids=lambda kind: kind.__name__)
def kind(request: pytest.FixtureRequest) -> Callable[[list[Animal], Path], Rows[Animal]]:
    return request.param


def test_rows_are_read_as_often_as_one_likes(kind: Callable[[list[Animal], Path], Rows[Animal]], tmp_path: Path):
    rows = kind(ANIMALS, tmp_path)
    assert rows.row is Animal
    assert list(rows) == list(rows) == ANIMALS
    assert len(rows) == 5
    assert rows.table() == Animal.to_table(ANIMALS)
    assert rows.column("legs") == [0, 1, 2, 3, 4]


def test_the_length_of_files_and_shards_is_known_without_reading_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    files, shards = in_files(ANIMALS, tmp_path), in_shards(ANIMALS, tmp_path)
    monkeypatch.setattr(Animal, "from_table", None)
    monkeypatch.setattr(Sharded, "__iter__", None)
    assert (len(files), len(shards)) == (5, 5)


def test_two_readers_at_once_do_not_disturb_each_other(
    kind: Callable[[list[Animal], Path], Rows[Animal]], tmp_path: Path
):
    rows = kind(ANIMALS, tmp_path)
    assert list(zip(rows, rows, strict=True)) == list(zip(ANIMALS, ANIMALS, strict=True))


def test_tables_are_of_a_bounded_size(
    kind: Callable[[list[Animal], Path], Rows[Animal]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(rows_module, "PART_ROWS", 2)
    tables = list(kind(ANIMALS, tmp_path).tables())
    assert max(table.num_rows for table in tables) == 2
    assert [animal for table in tables for animal in Animal.from_table(table)] == ANIMALS


def test_no_rows_are_a_table_with_the_contract_s_columns(
    kind: Callable[[list[Animal], Path], Rows[Animal]], tmp_path: Path
):
    rows = kind([], tmp_path)
    assert (list(rows), len(rows), rows.column("legs")) == ([], 0, [])
    assert rows.table().schema == Animal.schema()
    assert rows.table().num_rows == 0


def test_tables_are_checked(kind: Callable[[list[Animal], Path], Rows[Animal]], tmp_path: Path):
    with pytest.raises(ContractError, match="'legs >= 0' broken by 1 of"):
        kind([*ANIMALS, Animal(animal_id="snake", legs=-1)], tmp_path).table()


def test_listed_rows_are_a_copy():
    given = list(ANIMALS)
    rows = rows_of(Animal, iter(given))
    given.clear()
    assert isinstance(rows, ListedRows)
    assert len(rows) == 5


def test_streamed_rows_are_made_anew_at_each_reading_and_only_as_far_as_they_are_read():
    made: list[str] = []

    def make() -> Iterator[Animal]:
        for animal in ANIMALS:
            made.append(animal.animal_id)
            yield animal

    rows = stream(Animal, make)
    assert isinstance(rows, StreamedRows)
    assert made == []
    assert next(iter(rows)) == ANIMALS[0]
    assert made == ["a0"]
    assert [row for row in rows] == [row for row in rows] == ANIMALS  # noqa: C416 - list() asks for the length first
    assert made == ["a0", *(animal.animal_id for animal in ANIMALS * 2)]


def test_file_rows_know_their_paths_in_order_and_are_of_one_contract(tmp_path: Path):
    class Plant(Row, table="plants", key="plant_id"):
        plant_id: str

    Plant.write_file([Plant(plant_id="p")], tmp_path / "plant.parquet")
    rows = in_files(ANIMALS, tmp_path)
    assert isinstance(rows, FileRows)
    assert [path.name for path in rows.paths] == ["0.parquet", "1.parquet"]
    assert list(file_rows(Animal, reversed(rows.paths))) == ANIMALS[2:] + ANIMALS[:2]  # type: ignore[arg-type]
    with pytest.raises(ContractError, match="holds contract plants@1, expected animals@1"):
        list(file_rows(Animal, [tmp_path / "plant.parquet"]))


@pytest.mark.parametrize(
    ("rows", "shard_rows", "ranges"),
    [
        (0, 3, [range(0)]),
        (1, 3, [range(1)]),
        (3, 3, [range(3)]),
        (7, 3, [range(3), range(3, 6), range(6, 7)]),
        (2, 1, [range(1), range(1, 2)]),
    ],
)
def test_shard_ranges_cover_every_row_once_and_there_is_always_one(rows: int, shard_rows: int, ranges: list[range]):
    assert shard_ranges(rows, shard_rows) == ranges
    assert [number for numbers in ranges for number in numbers] == list(range(rows))
