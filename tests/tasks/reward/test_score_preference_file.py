"""Accuracy of a reward model on a preference file: ties, answers that are too long, and the longer answer's side."""

from pathlib import Path

import pytest

from data_contracts.config.engine import EngineConfig
from data_contracts.errors import ConfigError
from data_contracts.folder_contracts import RewardCheckpoint
from data_contracts.store.stored import Folder
from data_contracts.tables.evaluations import EvaluatedItem
from tasks.inputs.resolve_files import resolve_file
from tasks.reward.score_preference_file import score_preference_file
from tasks.runtime.loaded_models import as_model

LINE = '{"chosen": "\\n\\nHuman: Hi?\\n\\nAssistant: %s", "rejected": "\\n\\nHuman: Hi?\\n\\nAssistant: %s"}\n'


def score(path: Path, reward_model: Folder[RewardCheckpoint]) -> list[EvaluatedItem]:
    found = score_preference_file.fn(
        file=resolve_file("f", str(path)),
        rows=None,
        subject="reward",
        model=as_model("reward", reward_model),
        engine=EngineConfig(),
    )
    assert sum(table.num_rows for table in found.tables()) == len(found), "the rows obey their contract"
    return list(found)


def test_a_preference_file_is_scored_in_pairs(reward_checkpoint: Folder[RewardCheckpoint], tmp_path: Path):
    path = tmp_path / "pairs.jsonl"
    path.write_text(
        LINE % ("Yes.", "No.") + LINE % ("Yes.", "Yes.") + LINE % ("No.", "Yes.") + LINE % ("x " * 400, "No.")
    )
    items = score(path, reward_checkpoint)
    of_model = [item for item in items if item.subject == "reward"]
    first, tie, reverse, too_long = of_model
    assert tie.value == 0.5
    assert first.value is not None
    assert reverse.value is not None
    assert first.value + reverse.value == 1.0
    assert too_long.value is None
    assert too_long.skipped_because is not None
    assert "positions" in too_long.skipped_because
    assert first.option_scores is not None
    assert reverse.option_scores is not None
    assert first.option_scores == pytest.approx(reverse.option_scores[::-1], abs=1e-4)
    assert {item.benchmark for item in of_model} == {"preferences:pairs.jsonl"}
    assert {item.prompt for item in of_model} == {"Hi?"}
    assert {item.group for item in of_model} == {"single-turn"}
    assert [item.value for item in items if item.subject == "longer_wins"] == [1.0, 0.5, 0.0]


def test_a_file_of_which_no_pair_fits_is_refused(reward_checkpoint: Folder[RewardCheckpoint], tmp_path: Path):
    path = tmp_path / "pairs.jsonl"
    path.write_text(LINE % ("x " * 400, "No."))
    with pytest.raises(ConfigError, match=r"no pair of .*pairs\.jsonl fits the reward model's context"):
        score(path, reward_checkpoint)
