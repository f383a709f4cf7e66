"""The reward-model job: loss as in the paper, held-out scores, and the saved model that gives them again."""

import math
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from data_contracts.conversation import Role, Turn
from data_contracts.errors import EmptyResultError
from data_contracts.tables.preference_pairs import PreferencePair
from data_contracts.tables.reward_scores import PairSplit, RewardScore
from data_contracts.tables.training_log import TrainingLogEntry
from models.jobs.train_reward_model import training_pairs
from models.lm.chat_template import prepare_tokenizer
from models.processes.launch import run_job
from models.reward.heldout_scores import pair_metrics
from models.reward.reward_model import RewardModel
from tests.models.jobs.training_inputs import reward_spec

JOB = "models.jobs.train_reward_model"


def test_model_scores_and_manifest(tiny_llama_dir: Path, tmp_path: Path) -> None:
    spec = reward_spec(tmp_path, tiny_llama_dir, epochs=4, margin=0.5)
    manifest = run_job(JOB, spec, spec.training)
    assert manifest.metrics["heldout_pairs"] == 6
    assert manifest.metrics["heldout_accuracy"] == 1.0, "refusals are easy to tell"
    assert manifest.metrics["last_loss"] < manifest.metrics["first_loss"]
    assert manifest.metrics["first_loss"] == pytest.approx(math.log1p(math.exp(0.5)), abs=0.15), (
        "a young head gives 0; the margin is asked for"
    )
    scores = list(RewardScore.read_files([spec.output_dir / "heldout_scores.parquet"]))
    RewardScore.to_table(scores)
    rewards = RewardModel(spec.output_dir / "model")
    pairs = {pair.pair_id: pair for pair in PreferencePair.read_files(spec.pairs)}
    assert len(scores) == 6
    for score in scores:
        pair = pairs[score.pair_id]
        assert pair.split == score.split == PairSplit.HELDOUT
        talks = [(*pair.context, Turn(Role.ASSISTANT, answer)) for answer in (pair.chosen, pair.rejected)]
        assert rewards.score(talks) == pytest.approx([score.chosen_score, score.rejected_score], abs=1e-5)
    log = TrainingLogEntry.read_files([spec.output_dir / "training_log.parquet"])
    assert {"loss", "grad_norm", "learning_rate", "accuracy"} <= {entry.metric for entry in log}


def test_no_pair_that_fits_is_an_empty_result(tiny_llama_dir: Path, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama_dir)
    prepare_tokenizer(tokenizer)
    spec = reward_spec(tmp_path, tiny_llama_dir, max_length=8)
    with pytest.raises(EmptyResultError, match="21 of split 'train' read, 21 longer than max_length 8"):
        training_pairs(spec, tokenizer)


def test_pair_metrics_by_hand() -> None:
    # Margins 2, 0, -1: one right, one tie (half), one wrong.
    metrics = pair_metrics([2.0, 1.0, 0.0], [0.0, 1.0, 1.0])
    assert metrics["heldout_accuracy"] == pytest.approx(1.5 / 3)
    expected = (math.log(1 + math.exp(-2)) + math.log(2) + math.log(1 + math.exp(1))) / 3
    assert metrics["heldout_loss"] == pytest.approx(expected)
    assert metrics["heldout_margin"] == pytest.approx(1 / 3)
    assert pair_metrics([1000.0], [-1000.0])["heldout_loss"] == 0.0
    assert pair_metrics([], []) == {"heldout_pairs": 0.0}
