"""Rows and folders by handle: committed part by part, read in pieces, and never taken for another contract."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from data_contracts.errors import ContractError, DamagedArtifactError
from data_contracts.folder_contracts import PolicyCheckpoint, RewardCheckpoint
from data_contracts.rows import rows as rows_module
from data_contracts.rows.row import Row
from data_contracts.rows.rows import Rows, rows_of, stream
from data_contracts.store.artifact_store import Store
from data_contracts.store.stored import Folder, LocalFolder, StoredFolder, StoredRows, StoredShards
from tests.data_contracts.store.store_cases import KEY, MADE, Animals, Opener, animals, names, spoil
from tests.data_contracts.store.test_store_folders import checkpoint

HERD = [Animals(animal_id=f"a{number:03}", legs=number % 5) for number in range(17)]


class Plants(Row, table="plants", key="plant_id"):
    plant_id: str


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_module, "PART_ROWS", 5)


def herd() -> Rows[Animals]:
    return stream(Animals, lambda: iter(HERD))


# --- rows -------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("small_parts")
def test_streamed_rows_become_several_parts_with_the_same_rows(store: Store, open_store: Opener):
    rows = store.commit_rows(KEY, herd(), MADE)
    assert isinstance(rows, StoredRows)
    assert [part.rows for part in store.manifest(rows.artifact).parts] == [5, 5, 5, 2]
    assert list(rows) == list(rows) == HERD
    assert (len(rows), rows.artifact.rows) == (17, 17)
    artifact = open_store().find(Animals, KEY)
    assert artifact == rows.artifact
    assert list(open_store().stored(Animals, artifact)) == HERD  # type: ignore[arg-type]


@pytest.mark.usefixtures("small_parts")
def test_a_part_is_written_before_the_next_one_is_made(store: Store):
    written: list[int] = []

    def make() -> Iterator[Animals]:
        for number, animal in enumerate(HERD):
            if number % 5 == 0:
                written.append(sum(name.startswith("part-") for name in names(store)))
            yield animal

    store.commit_rows(KEY, stream(Animals, make), MADE)
    assert written == [0, 1, 2, 3]


@pytest.mark.usefixtures("small_parts")
def test_a_key_that_repeats_across_parts_is_refused(store: Store):
    twice = stream(Animals, lambda: iter([*HERD, HERD[0], HERD[7]]))
    with pytest.raises(ContractError, match="animals@1: key 'animal_id' repeats in 2 rows"):
        store.commit_rows(KEY, twice, MADE)
    assert store.find(Animals, KEY) is None


@pytest.mark.usefixtures("small_parts")
def test_a_broken_rule_in_a_later_part_leaves_no_artifact(store: Store):
    with pytest.raises(ContractError, match="'legs >= 0' broken by 1 of 3 rows"):
        store.commit_rows(KEY, stream(Animals, lambda: [*HERD, Animals(animal_id="snake", legs=-1)]), MADE)
    assert store.find(Animals, KEY) is None


@pytest.mark.usefixtures("small_parts")
def test_stored_rows_are_read_in_pieces(store: Store):
    rows = store.commit_rows(KEY, herd(), MADE)
    assert [table.num_rows for table in rows.tables()] == [5, 5, 5, 2]
    assert rows.table() == Animals.to_table(HERD)
    assert [table.column_names for table in rows.columns("legs")] == [["legs"]] * 4
    assert rows.column("legs") == [animal.legs for animal in HERD]
    assert [Animals.open_part(path).metadata.num_rows for path in rows.paths] == [5, 5, 5, 2]
    first = iter(rows)
    rows.paths[-1].write_bytes(b"spoilt")
    assert [next(first) for _ in range(15)] == HERD[:15], "a part is opened when its turn comes"
    with pytest.raises(ContractError, match="cannot read"):
        next(first)


def test_one_large_part_is_read_a_row_group_at_a_time(store: Store, monkeypatch: pytest.MonkeyPatch):
    from data_contracts.rows import row
    from data_contracts.store import stored

    monkeypatch.setattr(stored, "ROW_GROUP_ROWS", 4)
    monkeypatch.setattr(row, "ROW_GROUP_ROWS", 4)
    rows = store.commit_rows(KEY, herd(), MADE)
    assert len(rows.paths) == 1
    assert [table.num_rows for table in rows.tables()] == [4, 4, 4, 4, 1]
    assert [table.num_rows for table in rows.columns("legs")] == [4, 4, 4, 4, 1]
    assert list(rows) == HERD


def test_rows_in_the_store_already_are_not_written_again(store: Store):
    rows = store.commit_rows(KEY, herd(), MADE)
    assert store.commit_rows("other" + KEY, rows, MADE) is rows
    assert names(store, f"animals@1/other{KEY}") == []


def test_shards_in_the_store_are_committed_as_they_are(store: Store):
    parts = [store.write_shard(Animals, KEY, 0, animals(4)), store.write_shard(Animals, KEY, 1, Animals.empty())]
    shards = StoredShards(Animals, KEY, parts, store)
    assert (list(shards), len(shards)) == ([Animals(animal_id="a0", legs=4)], 1)
    rows = store.commit_rows(KEY, shards, MADE)
    assert store.manifest(rows.artifact).parts == tuple(parts)
    assert list(rows) == list(shards)


def test_no_rows_are_an_artifact_too(store: Store):
    rows = store.commit_rows(KEY, rows_of(Animals, []), MADE)
    assert (list(rows), len(rows), rows.column("legs")) == ([], 0, [])
    assert rows.table().schema == Animals.schema()


def test_rows_are_equal_when_their_artifacts_are(store: Store, open_store: Opener):
    rows = store.commit_rows(KEY, herd(), MADE)
    same = open_store().stored(Animals, rows.artifact)
    assert rows == same
    assert hash(rows) == hash(same)
    assert rows != store.commit_rows("other" + KEY, rows_of(Animals, HERD[:1]), MADE)
    assert rows.key_identity() == f"animals@1:{rows.artifact.digest}"


def test_rows_are_not_taken_for_those_of_another_contract(store: Store):
    rows = store.commit_rows(KEY, herd(), MADE)
    with pytest.raises(ContractError, match=r"animals@1/k+ is a animals@1, not a plants@1"):
        StoredRows(Plants, rows.artifact, store)
    with pytest.raises(ContractError, match="not a plants@1"):
        store.stored(Plants, rows.to_json())


def test_rows_travel_as_their_handle(store: Store, open_store: Opener):
    rows = store.commit_rows(KEY, herd(), MADE)
    adapter = TypeAdapter(list[Rows[Animals]])
    sent = adapter.dump_python([rows], mode="json")
    assert sent == [rows.artifact.model_dump(mode="json")]
    (received,) = adapter.validate_python(sent, context={"stored": open_store().stored})
    assert received == rows
    assert list(received) == HERD
    assert adapter.validate_python([rows]) == [rows], "rows themselves pass"


# --- folders ----------------------------------------------------------------------------------------------------


def test_a_folder_goes_into_the_store_and_comes_back(store: Store, open_store: Opener, tmp_path: Path):
    local = LocalFolder(RewardCheckpoint, checkpoint(tmp_path / "model"))
    assert local.local() == tmp_path / "model"
    artifact = store.commit_folder(local.contract, KEY, local.local(), MADE)
    folder = open_store().stored(RewardCheckpoint, artifact)
    assert isinstance(folder, StoredFolder)
    assert folder == StoredFolder(RewardCheckpoint, artifact, store)
    assert (folder.local() / "model.safetensors").read_bytes() == b"weights"
    assert (folder.local() / "adapter" / "notes.txt").read_bytes() == b"n"


def test_a_damaged_folder_says_so(store: Store, open_store: Opener, tmp_path: Path):
    artifact = store.commit_folder(RewardCheckpoint, KEY, checkpoint(tmp_path / "model"), MADE)
    spoil(store, f"{artifact.path}/manifest.json")
    with pytest.raises(DamagedArtifactError):
        StoredFolder(RewardCheckpoint, artifact, open_store()).local()


def test_a_reward_model_is_no_policy(store: Store, tmp_path: Path):
    artifact = store.commit_folder(RewardCheckpoint, KEY, checkpoint(tmp_path / "model"), MADE)
    assert artifact.contract == "reward_model@1"
    with pytest.raises(ContractError, match=r"reward_model@1/k+ is a reward_model@1, not a policy@1"):
        StoredFolder(PolicyCheckpoint, artifact, store)
    with pytest.raises(ContractError, match="not a policy@1"):
        TypeAdapter(Folder[PolicyCheckpoint]).validate_python(
            artifact.model_dump(mode="json"), context={"stored": store.stored}
        )
    sent = TypeAdapter(Folder[RewardCheckpoint]).dump_python(
        StoredFolder(RewardCheckpoint, artifact, store), mode="json"
    )
    assert sent == artifact.model_dump(mode="json")
