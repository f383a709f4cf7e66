"""Killed writers and spoilt bytes: nothing half-made counts, and a rerun gives the same artifact."""

import json
import threading
import uuid
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_contracts.errors import ContractError, DamagedArtifactError
from data_contracts.store import backends as store_backends
from data_contracts.store.artifact import Artifact
from data_contracts.store.artifact_store import Store
from data_contracts.store.manifest import COST_FILE, MANIFEST_FILE
from tests.data_contracts.store.store_cases import KEY, MADE, Animals, Opener, animals, names, part_name, spoil


def test_parts_without_a_manifest_are_no_artifact(store: Store, open_store: Opener):
    part = store.write_shard(Animals, KEY, 0, animals(4))
    assert part.name in names(store)
    assert MANIFEST_FILE not in names(store)
    other = open_store()
    assert other.find(Animals, KEY) is None
    artifact = other.commit_parts(Animals, KEY, [part], MADE)
    assert other.read(Animals, artifact).to_pylist() == animals(4).to_pylist()


def test_a_crash_between_parts_and_manifest_leaves_no_artifact(
    store: Store, open_store: Opener, monkeypatch: pytest.MonkeyPatch
):
    order: list[str] = []
    put_file, put_new = store.backend.put_file, store.backend.put_new
    monkeypatch.setattr(store.backend, "put_file", lambda local, name: (order.append("part"), put_file(local, name)))

    def killed(name: str, content: bytes) -> bool:
        order.append("manifest")
        raise KeyboardInterrupt

    monkeypatch.setattr(store.backend, "put_new", killed)
    with pytest.raises(KeyboardInterrupt):
        store.commit_table(Animals, KEY, animals(4), MADE)
    assert order == ["part", "manifest"]
    assert open_store().find(Animals, KEY) is None
    monkeypatch.setattr(store.backend, "put_new", put_new)
    assert open_store().commit_table(Animals, KEY, animals(4), MADE).rows == 1


def test_finished_shards_are_found_again_and_become_the_artifact(store: Store, open_store: Opener):
    first = store.write_shard(Animals, KEY, 0, animals(4))
    other = open_store()
    assert other.find_shard(Animals, KEY, 0) == first
    assert other.find_shard(Animals, KEY, 1) is None
    assert other.read_shard(Animals, KEY, first).to_pylist() == animals(4).to_pylist()
    table = Animals.to_table([Animals(animal_id="b0", legs=6)])
    second = other.write_shard(Animals, KEY, 1, table)
    artifact = other.commit_parts(Animals, KEY, [first, second], MADE)
    assert artifact.rows == 2
    assert other.read(Animals, artifact)["animal_id"].to_pylist() == ["a0", "b0"]


@pytest.mark.parametrize("damage", ["truncated", "emptied", "not_json", "other"])
def test_a_receipt_whose_writer_died_counts_as_none(store: Store, damage: str):
    store.write_shard(Animals, KEY, 0, animals(4))
    (receipt,) = store.backend.list(f"animals@1/{KEY}/receipts")
    content = store.backend.read_bytes(receipt)
    assert content is not None
    broken = {"truncated": content[:-9], "emptied": b"", "not_json": b"\x00\xff", "other": b'{"a": 1}'}[damage]
    store.backend.put_bytes(receipt, broken)
    assert store.find_shard(Animals, KEY, 0) is None
    assert store.find_shard(Animals, KEY, 0) != store.write_shard(Animals, KEY, 0, animals(4))
    assert store.find_shard(Animals, KEY, 0) is not None


@pytest.mark.parametrize("same_size", [True, False])
def test_a_shard_whose_part_is_damaged_counts_as_missing(store: Store, open_store: Opener, same_size: bool):
    part = store.write_shard(Animals, KEY, 0, animals(4))
    spoil(store, f"animals@1/{KEY}/{part.name}", same_size)
    assert open_store().find_shard(Animals, KEY, 0) is None
    store.backend.delete(f"animals@1/{KEY}/{part.name}")
    assert open_store().find_shard(Animals, KEY, 0) is None


@pytest.mark.parametrize("how", ["altered", "shortened", "gone"])
def test_a_damaged_part_is_noticed_and_rebuilt_with_the_same_bytes(
    store: Store, open_store: Opener, caplog: pytest.LogCaptureFixture, how: str
):
    artifact = store.commit_table(Animals, KEY, animals(4, 2), MADE)
    name = part_name(store, artifact)
    store.backend.delete(name) if how == "gone" else spoil(store, name, same_size=how == "altered")
    other = open_store()
    assert other.find(Animals, KEY) is None
    assert "missing or altered; the artifact will be rebuilt" in caplog.text
    assert other.find(Animals, KEY) is None
    assert other.commit_table(Animals, KEY, animals(4, 2), MADE) == artifact
    assert "rebuilt with the same bytes" in caplog.text
    assert other.find(Animals, KEY) == artifact
    assert not [name for name in names(other) if name.startswith("damaged")]


def test_the_writer_itself_notices_damage_too(store: Store):
    artifact = store.commit_table(Animals, KEY, animals(4, 2), MADE)
    assert store.find(Animals, KEY) == artifact
    spoil(store, part_name(store, artifact))
    assert store.find(Animals, KEY) is None


def test_it_is_said_when_rebuilt_bytes_differ(store: Store, open_store: Opener, caplog: pytest.LogCaptureFixture):
    artifact = store.commit_table(Animals, KEY, animals(4, 2), MADE)
    spoil(store, part_name(store, artifact))
    other = open_store()
    assert other.find(Animals, KEY) is None
    rebuilt = other.commit_table(Animals, KEY, animals(3), MADE)
    assert rebuilt.digest != artifact.digest
    assert "its rebuilt bytes differ from what later steps were built on" in caplog.text
    with pytest.raises(DamagedArtifactError, match="holds other bytes than its handle says"):
        other.read(Animals, artifact)


@pytest.mark.parametrize("content", [b"", b"{", b'{"contract": "animals@1"}', b"\xff\x00"])
def test_a_broken_manifest_is_rebuilt(store: Store, open_store: Opener, content: bytes):
    artifact = store.commit_table(Animals, KEY, animals(4), MADE)
    store.backend.put_bytes(f"{artifact.path}/{MANIFEST_FILE}", content)
    other = open_store()
    assert other.find(Animals, KEY) is None
    assert other.commit_table(Animals, KEY, animals(4), MADE) == artifact
    assert other.find(Animals, KEY) == artifact


@pytest.mark.parametrize("content", [b"", b"{", b'{"contract": "animals@1"}'])
def test_a_handle_to_a_broken_manifest_is_a_store_error(store: Store, content: bytes):
    artifact = store.commit_table(Animals, KEY, animals(4), MADE)
    store.backend.put_bytes(f"{artifact.path}/{MANIFEST_FILE}", content)
    with pytest.raises(DamagedArtifactError, match="run the step again"):
        store.read(Animals, artifact)
    store.backend.delete(f"{artifact.path}/{MANIFEST_FILE}")
    with pytest.raises(DamagedArtifactError, match="has no manifest"):
        store.read(Animals, artifact)


def test_a_broken_cost_file_does_not_stop_a_run(store: Store):
    artifact = store.commit_table(Animals, KEY, animals(4), MADE)
    store.backend.put_bytes(f"{artifact.path}/{COST_FILE}", b"{")
    assert store.cost(artifact) is None


def test_reading_a_damaged_part_never_gives_wrong_rows(store: Store, open_store: Opener):
    artifact = store.commit_table(Animals, KEY, animals(*range(100)), MADE)
    spoil(store, part_name(store, artifact), same_size=False)
    with pytest.raises((DamagedArtifactError, ContractError)):
        open_store().read(Animals, artifact)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shards=st.lists(st.lists(st.integers(0, 9), max_size=4), min_size=1, max_size=4),
    killed_after=st.integers(0, 3),
    spoilt=st.integers(0, 3),
)
def test_whatever_is_killed_or_spoilt_a_rerun_gives_the_same_artifact(
    tmp_path: Path, shards: list[list[int]], killed_after: int, spoilt: int
):
    """An uninterrupted run, and one that dies after some shards and then has one of them damaged, agree."""

    def table(place: int) -> pa.Table:
        return Animals.to_table(Animals(animal_id=f"{place}-{n}", legs=v) for n, v in enumerate(shards[place]))

    def run(store: Store, stop: int | None = None) -> Artifact | None:
        parts = []
        for place in range(len(shards)):
            if place == stop:
                return None
            parts.append(store.find_shard(Animals, KEY, place) or store.write_shard(Animals, KEY, place, table(place)))
        return store.find(Animals, KEY) or store.commit_parts(Animals, KEY, parts, MADE)

    clean = run(Store(f"memory://{uuid.uuid4().hex}", scratch=tmp_path))
    for url in (str(tmp_path / uuid.uuid4().hex), f"memory://{uuid.uuid4().hex}"):
        run(Store(url, scratch=tmp_path), stop=killed_after)
        receipts = Store(url, scratch=tmp_path).backend.list(f"animals@1/{KEY}/receipts")
        if receipts:
            store = Store(url, scratch=tmp_path)
            receipt = json.loads(store.backend.read_bytes(receipts[spoilt % len(receipts)]) or b"")
            spoil(store, f"animals@1/{KEY}/{receipt['name']}")
        again = run(Store(url, scratch=tmp_path))
        assert again == clean
        assert Store(url, scratch=tmp_path).find(Animals, KEY) == clean


def test_many_readers_copy_one_remote_part_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Each reader writes under a name of its own: none may see another's half-written copy."""
    store = Store(f"memory://{uuid.uuid4().hex}", scratch=tmp_path)
    artifact = store.commit_table(Animals, KEY, animals(*range(500)), MADE)
    together = threading.Barrier(4)
    fetch = store.backend.fetch

    def in_halves(name: str, local: Path) -> None:
        fetch(name, local)
        content = local.read_bytes()
        local.write_bytes(content[: len(content) // 2])
        together.wait(timeout=10)  # every reader now holds half a copy
        local.write_bytes(content)

    monkeypatch.setattr(store.backend, "fetch", in_halves)
    rows: list[int] = []
    readers = [threading.Thread(target=lambda: rows.append(store.read(Animals, artifact).num_rows)) for _ in range(4)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(timeout=20)
    assert rows == [500] * 4
    assert [path for path in tmp_path.rglob(".*") if path.is_file()] == []


def test_readers_of_one_object_in_memory_do_not_share_its_position(tmp_path: Path):
    """fsspec opens a memory object once for everybody; each reader must still get every byte."""
    backend = Store(f"memory://{uuid.uuid4().hex}", scratch=tmp_path).backend
    content = bytes(range(256)) * (1 << 16)  # 16 MiB: several blocks of any copy loop
    backend.put_bytes("object", content)
    copies = [tmp_path / f"copy-{number}" for number in range(6)]
    together = threading.Barrier(len(copies))

    def fetch(copy: Path) -> None:
        together.wait(timeout=10)
        backend.fetch("object", copy)

    readers = [threading.Thread(target=fetch, args=(copy,)) for copy in copies]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(timeout=30)
    assert all(copy.read_bytes() == content for copy in copies)


def test_an_object_larger_than_one_range_is_fetched_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(store_backends, "FETCHED_AT_ONCE", 7)
    backend = Store(f"memory://{uuid.uuid4().hex}", scratch=tmp_path).backend
    for size in (0, 6, 7, 8, 21):
        backend.put_bytes("object", bytes(range(size)))
        backend.fetch("object", tmp_path / "copy")
        assert (tmp_path / "copy").read_bytes() == bytes(range(size))
