"""Whose checkpoints a job may go on from."""

import json
from pathlib import Path

import pytest

from data_contracts.errors import ContractError
from models.training.checkpoints import MARKER, ORIGIN, claim_checkpoints, forget_old, last_complete


def test_only_complete_checkpoints_count(tmp_path: Path) -> None:
    for step in (9, 10, 11):
        (tmp_path / f"checkpoint-{step}").mkdir()
    assert last_complete(tmp_path) is None
    for step in (9, 10):
        (tmp_path / f"checkpoint-{step}" / MARKER).touch()
    assert last_complete(tmp_path) == tmp_path / "checkpoint-10"


def test_the_newest_complete_ones_are_kept(tmp_path: Path) -> None:
    for step in (2, 9, 10, 11):
        (tmp_path / f"checkpoint-{step}").mkdir()
    for step in (2, 9, 10):
        (tmp_path / f"checkpoint-{step}" / MARKER).touch()
    forget_old(tmp_path, keep=2)
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint-9", "checkpoint-10"}


def test_checkpoints_of_the_same_run_are_taken(tmp_path: Path) -> None:
    for _ in range(2):
        claim_checkpoints(tmp_path / "new", {"policy": "a", "reward_model": "b"})


def test_checkpoints_of_other_weights_are_refused(tmp_path: Path) -> None:
    claim_checkpoints(tmp_path, {"policy": "a", "reward_model": "b"})
    with pytest.raises(ContractError, match="from another reward_model under the same path; delete the folder"):
        claim_checkpoints(tmp_path, {"policy": "a", "reward_model": "c"})


@pytest.mark.parametrize("content", [json.dumps({"checkpoint_version": 1, "models": {"policy": "a"}}), "{", "{}"])
def test_checkpoints_of_another_version_are_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / ORIGIN).write_text(content)
    with pytest.raises(ContractError, match=r"have version (1|None), this program writes 3; delete the folder"):
        claim_checkpoints(tmp_path, {"policy": "a"})
