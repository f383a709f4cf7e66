"""The store on a local folder and on memory://, by one suite: the manifest is the truth, and it comes last."""

import json
import os
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_contracts.artifact import Artifact
from data_contracts.contract import Contract, at_least, integer, text
from data_contracts.errors import ConfigError, ContractError, DamagedArtifactError
from data_contracts.folder_contracts import Checkpoint, PromptFiles
from data_contracts.manifest import COST_FILE, MANIFEST_FILE, Cost, Provenance
from data_contracts.store import Store

KEY = "k" * 32
MADE = Provenance(step="count_animals", step_version="1", code="abc", config={"seed": 1})


class Animals(Contract):
    name = "animals"
    schema = pa.schema([text("animal_id"), integer("legs")])
    key = "animal_id"
    rules = (at_least("legs", 0),)


class AnimalsChanged(Animals):
    """The same name and version with another schema: a forgotten version bump."""

    schema = pa.schema([text("animal_id"), integer("legs"), integer("eyes")])


def animals(*legs: int) -> pa.Table:
    return Animals.from_rows([{"animal_id": f"a{n}", "legs": n_legs} for n, n_legs in enumerate(legs)])


@pytest.fixture(params=["folder", "memory"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "home") if request.param == "folder" else f"memory://home-{uuid.uuid4().hex}"


@pytest.fixture
def open_store(url: str, tmp_path: Path) -> Iterator["Opener"]:
    return Opener(url, tmp_path)  # type: ignore[return-value]


class Opener:
    """Opens the same home anew, as another process would, each with a scratch folder of its own."""

    def __init__(self, url: str, tmp_path: Path) -> None:
        self.url, self.tmp_path, self.opened = url, tmp_path, 0

    def __call__(self) -> Store:
        self.opened += 1
        return Store(self.url, scratch=self.tmp_path / f"scratch-{self.opened}")


@pytest.fixture
def store(open_store: Opener) -> Store:
    return open_store()


def names(store: Store, folder: str = f"animals@1/{KEY}") -> list[str]:
    return [name.rsplit("/", 1)[-1] for name in store.backend.list(folder)]


def part_name(store: Store, artifact: Artifact) -> str:
    return f"{artifact.path}/{store.manifest(artifact).parts[0].name}"


def spoil(store: Store, name: str, same_size: bool = True) -> None:
    content = store.backend.read_bytes(name)
    assert content is not None
    store.backend.put_bytes(name, content[:-1] + bytes([content[-1] ^ 1]) if same_size else content[:-1])


# --- commit and find --------------------------------------------------------------------------------------------


def test_what_is_committed_is_found_and_read_by_another_process(store: Store, open_store: Opener):
    assert store.find(Animals, KEY) is None
    artifact = store.commit_table(Animals, KEY, animals(4, 2), MADE)
    assert (artifact.contract, artifact.path, artifact.rows) == ("animals@1", f"animals@1/{KEY}", 2)
    other = open_store()
    assert other.find(Animals, KEY) == artifact
    assert other.read(Animals, artifact).to_pylist() == animals(4, 2).to_pylist()
    assert other.find(Animals, "other key") is None


def test_the_manifest_says_what_the_artifact_is(store: Store):
    artifact = store.commit_table(Animals, KEY, animals(4, 2), MADE)
    manifest = store.manifest(artifact)
    assert manifest.contract == "animals@1"
    assert manifest.schema_fingerprint == Animals.fingerprint()
    assert (manifest.key, manifest.rows, manifest.digest) == (KEY, 2, artifact.digest)
    assert manifest.provenance == MADE
    (part,) = manifest.parts
    content = store.backend.read_bytes(f"{artifact.path}/{part.name}")
    assert content is not None
    assert part.bytes == len(content)
    assert part.sha256[:12] in part.name


def test_manifests_of_equal_data_are_equal_and_hold_no_time(store: Store, tmp_path: Path):
    other = Store(str(tmp_path / "other"))
    contents = []
    for each in (store, other):
        artifact = each.commit_table(Animals, KEY, animals(4, 2), MADE)
        each.write_cost(artifact, Cost(started_at=uuid.uuid4().hex, startup_s=1.0, working_s=2.0))
        contents.append(each.backend.read_bytes(f"{artifact.path}/{MANIFEST_FILE}"))
    assert contents[0] == contents[1]
    assert contents[0] is not None
    assert b"_at" not in contents[0]


def test_costs_lie_beside_the_manifest(store: Store):
    artifact = store.commit_table(Animals, KEY, animals(4), MADE)
    assert store.cost(artifact) is None
    cost = Cost(started_at="now", startup_s=0.5, working_s=2.0, counters={"tokens": 3})
    store.write_cost(artifact, cost)
    assert store.cost(artifact) == cost
    assert COST_FILE in names(store)


def test_a_table_that_breaks_its_contract_leaves_nothing(store: Store):
    with pytest.raises(ContractError):
        store.commit_table(Animals, KEY, pa.table({"animal_id": ["a"], "legs": [-1]}), MADE)
    assert names(store) == []
    assert list((store.scratch / "staging").iterdir()) == []


def test_another_schema_under_the_same_version_is_refused(store: Store):
    store.commit_table(Animals, KEY, animals(4), MADE)
    with pytest.raises(ContractError, match="another schema of animals@1; raise its version"):
        store.find(AnimalsChanged, KEY)


# --- two writers ------------------------------------------------------------------------------------------------


def test_of_two_writers_of_equal_bytes_the_second_gets_the_firsts_artifact(
    store: Store, open_store: Opener, caplog: pytest.LogCaptureFixture
):
    first = store.commit_table(Animals, KEY, animals(4, 2), MADE)
    assert open_store().commit_table(Animals, KEY, animals(4, 2), MADE) == first
    assert caplog.records == []


def test_of_two_writers_of_different_bytes_the_first_wins_and_it_is_said(
    store: Store, open_store: Opener, caplog: pytest.LogCaptureFixture
):
    first = store.commit_table(Animals, KEY, animals(4, 2), MADE)
    second = open_store().commit_table(Animals, KEY, animals(3), MADE)
    assert second == first
    assert store.read(Animals, second).num_rows == 2
    assert "another writer finished first with other bytes" in caplog.text
    assert store.find(Animals, KEY) == first


def test_a_file_system_without_hard_links_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object) -> None:
        raise PermissionError("hard links are not supported")

    monkeypatch.setattr(os, "link", refuse)
    store = Store(str(tmp_path / "home"))
    first = store.commit_table(Animals, KEY, animals(4, 2), MADE)
    assert Store(str(tmp_path / "home")).commit_table(Animals, KEY, animals(3), MADE) == first
    assert Store(str(tmp_path / "home")).find(Animals, KEY) == first
    assert not list((tmp_path / "home").rglob(".*"))


def test_many_writers_at_once_agree_on_one_artifact(open_store: Opener):
    stores = [open_store() for _ in range(8)]
    barrier = threading.Barrier(len(stores))
    results: list[Artifact] = []

    def write(place: int) -> None:
        barrier.wait()
        results.append(stores[place].commit_table(Animals, KEY, animals(place), MADE))

    threads = [threading.Thread(target=write, args=(place,)) for place in range(len(stores))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == len(stores)
    assert len({artifact.digest for artifact in results}) == 1
    assert stores[0].find(Animals, KEY) == results[0]


# --- crashes ----------------------------------------------------------------------------------------------------


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
    table = Animals.from_rows([{"animal_id": "b0", "legs": 6}])
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


# --- damage -----------------------------------------------------------------------------------------------------


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
    assert "its rebuilt bytes differ from what later stages were built on" in caplog.text
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
    with pytest.raises(DamagedArtifactError, match="run the stage again"):
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


# --- folders ----------------------------------------------------------------------------------------------------


def checkpoint(folder: Path, weights: bytes = b"weights") -> Path:
    (folder / "adapter").mkdir(parents=True)
    for name, content in {
        "config.json": b"{}", "tokenizer_config.json": b"{}", "model.safetensors": weights, "adapter/notes.txt": b"n",
    }.items():  # fmt: skip
        (folder / name).write_bytes(content)
    return folder


def test_a_checkpoint_comes_back_as_a_folder(store: Store, open_store: Opener, tmp_path: Path):
    artifact = store.commit_folder(Checkpoint, KEY, checkpoint(tmp_path / "model"), MADE)
    assert artifact.rows == 0
    other = open_store()
    assert other.find(Checkpoint, KEY) == artifact
    folder = other.local_folder(artifact)
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert files == {
        "config.json": b"{}", "tokenizer_config.json": b"{}", "model.safetensors": b"weights", "adapter/notes.txt": b"n",
    }  # fmt: skip


def test_two_checkpoints_of_one_key_never_mix(store: Store, open_store: Opener, tmp_path: Path):
    first = store.commit_folder(Checkpoint, KEY, checkpoint(tmp_path / "1", b"one"), MADE)
    second = open_store().commit_folder(Checkpoint, KEY, checkpoint(tmp_path / "2", b"two"), MADE)
    assert second == first
    assert (store.local_folder(second) / "model.safetensors").read_bytes() == b"one"


def test_an_equal_folder_has_an_equal_digest_and_another_does_not(store: Store, tmp_path: Path):
    digests = [
        store.commit_folder(Checkpoint, f"{KEY}{n}", checkpoint(tmp_path / str(n), weights), MADE).digest
        for n, weights in enumerate((b"one", b"one", b"two"))
    ]
    assert digests[0] == digests[1] != digests[2]


def test_changing_the_source_folder_later_does_not_change_the_store(store: Store, open_store: Opener, tmp_path: Path):
    folder = checkpoint(tmp_path / "model")
    artifact = store.commit_folder(Checkpoint, KEY, folder, MADE)
    with (folder / "model.safetensors").open("r+b") as weights:  # in place, as a resumed job might
        weights.write(b"WEIGHTS")
    other = open_store()
    assert other.find(Checkpoint, KEY) == artifact
    assert (other.local_folder(artifact) / "model.safetensors").read_bytes() == b"weights"


@pytest.mark.parametrize("missing", ["config.json", "tokenizer_config.json", "model.safetensors"])
def test_an_incomplete_checkpoint_is_refused(store: Store, tmp_path: Path, missing: str):
    folder = checkpoint(tmp_path / "model")
    (folder / missing).unlink()
    with pytest.raises(ContractError, match=r"checkpoint@1: .*(lacks|no \.safetensors)"):
        store.commit_folder(Checkpoint, KEY, folder, MADE)
    assert names(store, f"checkpoint@1/{KEY}") == []


@pytest.mark.parametrize("name", ["pytorch_model.bin", "optimizer.pt", "adapter/x.pkl", "X.PT", "state.pth"])
def test_pickles_are_refused(store: Store, tmp_path: Path, name: str):
    folder = checkpoint(tmp_path / "model")
    (folder / name).write_bytes(b"")
    with pytest.raises(ContractError, match=r"holds pickled files .*; use safetensors"):
        store.commit_folder(Checkpoint, KEY, folder, MADE)


def test_a_folder_that_is_not_there_is_refused(store: Store, tmp_path: Path):
    with pytest.raises(ContractError, match="is not a folder"):
        store.commit_folder(PromptFiles, KEY, tmp_path / "absent", MADE)


# --- opening ----------------------------------------------------------------------------------------------------


def test_a_job_folder_is_the_same_for_the_same_key_and_a_staging_folder_is_not(store: Store):
    assert store.job_folder("abc") == store.job_folder("abc")
    assert store.stage("abc") != store.stage("abc")


def test_a_home_that_cannot_be_written_is_a_config_error(tmp_path: Path):
    (tmp_path / "file").write_text("not a folder")
    for home in (tmp_path / "file" / "home", tmp_path / "file", Path("/proc/none/home")):
        with pytest.raises(ConfigError, match=r"cannot write to .*set ALMOST_HOME or --home"):
            Store(str(home))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_home_without_permission_is_a_config_error(tmp_path: Path):
    tmp_path.chmod(0o500)
    with pytest.raises(ConfigError, match="cannot write"):
        Store(str(tmp_path / "home"))


@pytest.mark.parametrize("url", ["nothing://bucket/home", "gopher://x"])
def test_an_unknown_kind_of_store_is_a_config_error(url: str, tmp_path: Path):
    with pytest.raises(ConfigError, match="cannot open the store"):
        Store(url, scratch=tmp_path)


def test_a_file_url_is_a_local_folder(tmp_path: Path):
    store = Store(f"file://{tmp_path}/home")
    store.commit_table(Animals, KEY, animals(4), MADE)
    assert (tmp_path / "home" / "animals@1" / KEY / MANIFEST_FILE).is_file()


def test_a_remote_store_keeps_its_copies_in_almost_scratch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("ALMOST_SCRATCH", str(tmp_path / "here"))
    store = Store("memory://elsewhere")
    assert store.scratch == tmp_path / "here" / "scratch"


def test_a_damaged_local_copy_of_a_remote_part_is_fetched_again(tmp_path: Path):
    store = Store(f"memory://{uuid.uuid4().hex}", scratch=tmp_path)
    artifact = store.commit_table(Animals, KEY, animals(4), MADE)
    (copy,) = store.materialise(artifact)
    copy.write_bytes(b"spoilt")
    assert store.read(Animals, artifact).num_rows == 1
    spoil(store, part_name(store, artifact))
    copy.unlink()
    with pytest.raises(DamagedArtifactError, match="is damaged"):
        store.materialise(artifact)


# --- properties -------------------------------------------------------------------------------------------------


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
        return Animals.from_rows([{"animal_id": f"{place}-{n}", "legs": v} for n, v in enumerate(shards[place])])

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
