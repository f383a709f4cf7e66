"""The store on a local folder and on memory://: the manifest is the truth, and it comes last."""

import os
import threading
import uuid
from pathlib import Path

import pyarrow as pa
import pytest

from data_contracts.errors import ConfigError, ContractError, DamagedArtifactError
from data_contracts.store.artifact import Artifact
from data_contracts.store.artifact_store import Store
from data_contracts.store.manifest import COST_FILE, MANIFEST_FILE, Cost
from data_contracts.store.scratch import job_folder
from tests.data_contracts.store.store_cases import (
    KEY,
    MADE,
    Animals,
    AnimalsChanged,
    Opener,
    animals,
    names,
    part_name,
    spoil,
)


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


def test_a_job_folder_is_the_same_for_the_same_key_and_a_staging_folder_is_not(store: Store):
    assert job_folder(store.scratch, "abc") == job_folder(store.scratch, "abc")
    assert store.prepare("abc") != store.prepare("abc")


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
