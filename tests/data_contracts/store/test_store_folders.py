"""Checkpoints and other folders in the store."""

from pathlib import Path

import pytest

from data_contracts.errors import ContractError
from data_contracts.folder_contracts import Checkpoint, PromptFiles
from data_contracts.store.artifact_store import Store
from tests.data_contracts.store.store_cases import KEY, MADE, Opener, names


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
