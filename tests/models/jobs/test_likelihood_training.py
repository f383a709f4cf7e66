"""The reward-model job with the likelihood feature: what is learnt, saved, resumed, and refused."""

import json
import logging
import shutil
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from transformers import AutoModelForSequenceClassification

from data_contracts.config.reward import EnsembleScore, LikelihoodFeature
from data_contracts.config.training import TrainingSettings
from data_contracts.conversation import Role, Turn
from data_contracts.specs.combine_reward_models import EnsembleSpec
from data_contracts.specs.job_spec import MANIFEST_NAME, JobManifest
from data_contracts.tables.preference_pairs import PreferencePair
from data_contracts.tables.reward_scores import PairSplit, RewardScore
from models.reward.answer_likelihood import LikelihoodWeights
from models.reward.heldout_scores import both_sides
from models.reward.preference_pairs import pairs_of
from models.reward.reward_model import RewardModel
from tests.models.jobs.forked_jobs import ForkedJobs
from tests.models.jobs.training_inputs import SETTINGS, reward_spec

JOB = "models.jobs.train_reward_model"


def test_weight_and_head_are_learnt_together(
    forked_jobs: ForkedJobs, tiny_llama_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spec = reward_spec(tmp_path, tiny_llama_dir, epochs=4, likelihood=LikelihoodFeature.ADDED)
    forked_jobs.run(JOB, spec)
    manifest = JobManifest.model_validate_json((spec.output_dir / MANIFEST_NAME).read_bytes())
    folder = spec.output_dir / "model"
    weights = json.loads((folder / "likelihood.json").read_text())
    assert weights["weight"] == pytest.approx(manifest.metrics["likelihood_weight"])
    assert abs(weights["weight"]) > 0.1, "its own learning rate moves it within twelve steps"
    rewards = RewardModel(folder)
    scored = next(RewardScore.read_files([spec.output_dir / "heldout_scores.parquet"]))
    pair = next(pair for pair in PreferencePair.read_files(spec.pairs) if pair.pair_id == scored.pair_id)
    expected = [scored.chosen_score, scored.rejected_score]
    assert rewards.score(both_sides([pair])) == pytest.approx(expected, abs=1e-5)
    assert rewards.score_candidates(pair.context, [pair.chosen, pair.rejected]) == pytest.approx(expected, abs=1e-4)
    with safe_open(folder / "model.safetensors", "pt") as file:
        assert not [name for name in file.keys() if "likelihood" in name]  # noqa: SIM118 (not a dict)
    with caplog.at_level(logging.WARNING):
        head = AutoModelForSequenceClassification.from_pretrained(folder)
    assert head.config.architectures == ["LlamaForSequenceClassification"]
    assert "likelihood" not in caplog.text


def test_alone_the_head_has_no_say(forked_jobs: ForkedJobs, tiny_llama_dir: Path, tmp_path: Path) -> None:
    spec = reward_spec(tmp_path, tiny_llama_dir, likelihood=LikelihoodFeature.ALONE)
    forked_jobs.run(JOB, spec)
    rewards = RewardModel(spec.output_dir / "model")
    talk = (Turn(Role.HUMAN, "Hi?"), Turn(Role.ASSISTANT, "Fox."))
    before = rewards.score([talk])
    rewards.model.score.weight.data.mul_(10.0)
    assert rewards.score([talk]) == before


def shifted(readings: Path, by: float) -> Path:
    """A copy of a member's readings with every value raised."""
    content = json.loads(readings.read_text())
    for side in ("chosen", "rejected"):
        content[side] = [value + by for value in content[side]]
    readings.with_name("shifted.json").write_text(json.dumps(content))
    return readings.with_name("shifted.json")


def test_readings_of_other_pairs_are_refused(forked_jobs: ForkedJobs, tiny_llama_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text('{"pair_ids": ["p7"], "chosen": [-1.0], "rejected": [-2.0]}')
    feature = {"likelihood": LikelihoodFeature.ADDED, "answer_likelihoods": tmp_path / "other.json"}
    spec = reward_spec(tmp_path, tiny_llama_dir, **feature)
    error = forked_jobs.run(JOB, spec, may_fail=True).error
    assert "tells of other pairs than this job's" in error["message"]


def test_two_members_become_one_that_stands_alone(
    forked_jobs: ForkedJobs, tiny_llama_dir: Path, tmp_path: Path
) -> None:
    """Members of two seeds, combined: their scores of held-out pairs are those of the folder, wherever it lies."""
    specs, shared = [], {}
    for seed in (3, 4):
        (tmp_path / str(seed)).mkdir()
        feature = {"likelihood": LikelihoodFeature.ADDED, "answer_likelihoods": shared.get("file")}
        specs.append(reward_spec(tmp_path / str(seed), tiny_llama_dir, seed=seed, **feature))
        forked_jobs.run(JOB, specs[-1])
        shared["file"] = shifted(specs[0].output_dir / "answer_likelihoods.json", by=0.5)
    members = tuple(spec.output_dir / "model" for spec in specs)
    combination = EnsembleSpec(
        output_dir=tmp_path / "out", work_dir=tmp_path / "work", seed=1, members=members, pairs=specs[0].pairs,
        score=EnsembleScore.MEAN, micro_batch_size=2, training=SETTINGS,
    )  # fmt: skip
    forked_jobs.run("models.jobs.combine_reward_models", combination)
    figures = JobManifest.model_validate_json((combination.output_dir / MANIFEST_NAME).read_bytes()).metrics
    learnt = [json.loads((member / "likelihood.json").read_text())["weight"] for member in members]
    assert [figures[f"ensemble_likelihood_weight_{n}"] for n in (1, 2)] == pytest.approx(learnt)
    assert learnt[0] != learnt[1]
    first, second = (LikelihoodWeights.model_validate_json((m / "likelihood.json").read_bytes()) for m in members)
    assert second.mean == pytest.approx(first.mean + 0.5), "the second member took the first's readings over"
    assert second.std == pytest.approx(first.std)
    folder = (combination.output_dir / "model").rename(tmp_path / "elsewhere")
    for member in members:
        shutil.rmtree(member)
    rewards = RewardModel(folder)
    pairs = {pair.pair_id: pair for pair in PreferencePair.read_files(specs[0].pairs)}
    found = list(RewardScore.read_files([combination.output_dir / "heldout_scores.parquet"]))
    assert len(found) == 6
    for score in found:
        pair = pairs[score.pair_id]
        scores = rewards.score_candidates(pair.context, [pair.chosen, pair.rejected])
        assert scores == pytest.approx([score.chosen_score, score.rejected_score], abs=1e-4)
    training = list(pairs_of(PairSplit.TRAIN, specs[0].pairs))
    level = torch.tensor(rewards.member_scores(both_sides(training))).mean(dim=1)
    assert rewards.combination.ensemble is not None
    assert level.tolist() == pytest.approx(rewards.combination.ensemble.shifts, abs=1e-5), (
        "levelled on training answers"
    )


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 2], ids=["all-weights", "adapters"])
def test_the_feature_is_the_same_under_zero_3(
    rank: int, forked_jobs: ForkedJobs, tiny_llama_dir: Path, tmp_path: Path
) -> None:
    """The frozen base is sharded as the reward model is, and each rank reads its share of the answers."""
    found = []
    for name, zero, processes in (("plain", 0, 1), ("ddp", 0, 2), ("sharded", 3, 2)):
        (tmp_path / name).mkdir()
        settings = TrainingSettings(use_cpu=True, zero_stage=zero, processes=processes, lora_rank=rank, save_every=100)
        spec = reward_spec(
            tmp_path / name, tiny_llama_dir, rows=13, likelihood=LikelihoodFeature.ADDED, training=settings
        )
        forked_jobs.run(JOB, spec)
        found.append(json.loads((spec.output_dir / "model" / "likelihood.json").read_text()))
    assert abs(found[0]["weight"]) > 0.1
    for other in found[1:]:
        assert other == pytest.approx(found[0], abs=1e-4)
