"""What the reward model's training steps hand to their jobs, and what an ensemble's jobs hand to each other."""

from pathlib import Path
from typing import Any

import pytest

from data_contracts.config.reward import EnsembleScore, RewardTraining
from data_contracts.config.training import TrainingSettings
from data_contracts.errors import EmptyResultError
from data_contracts.handles import ModelHandle
from data_contracts.rows.rows import rows_of
from data_contracts.specs.combine_reward_models import EnsembleSpec
from data_contracts.specs.job_spec import JobManifest
from data_contracts.specs.train_reward_model import RewardSpec
from data_contracts.tables.community_answers import CommunityAnswer
from data_contracts.tables.comparisons import Comparison
from data_contracts.tables.preference_pairs import PreferencePair
from data_contracts.tables.reward_scores import PairSplit, RewardScore
from data_contracts.tables.training_log import TrainingLogEntry, training_log_entries
from models.seeding import derive_seed
from tasks.reward.train_reward_model import (
    COMBINE_JOB,
    JOB,
    drawn_answers,
    train_as_is_reward_model,
    train_reward_model,
)
from tasks.runtime import run_training_job as runner

BASE = ModelHandle(name="base", digest="x", folder="base")


class Jobs:
    """Stands where a job's process is started: keeps the specs and leaves what a job leaves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.specs: list[tuple[str, Any]] = []
        monkeypatch.setattr(runner, "run_job", self.run)

    def run(self, module: str, spec: Any, training: TrainingSettings, **_: Any) -> JobManifest:
        assert spec.training == training
        self.specs.append((module, spec))
        spec.output_dir.mkdir()
        TrainingLogEntry.write_file(training_log_entries([(7, {"loss": 0.5})]), spec.output_dir / "log.parquet")
        score = RewardScore(
            pair_id=f"of {len(self.specs)}", query_id="q", split=PairSplit.HELDOUT, chosen_score=1.0,
            rejected_score=0.0, chosen_chars=1, rejected_chars=1,
        )  # fmt: skip
        RewardScore.write_file([score], spec.output_dir / "scores.parquet")
        outputs = {"model": "model", "training_log": "log.parquet", "heldout_scores": "scores.parquet"}
        if module == JOB and spec.likelihood != "off":
            outputs["answer_likelihoods"] = "likelihoods.json"
        metrics = {"ensemble_spread": 0.25, "heldout_pairs": 1.0}
        return JobManifest(job=module, spec_digest=spec.digest(), outputs=outputs, metrics=metrics)


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> Jobs:
    return Jobs(monkeypatch)


def comparison(query: int, kept_rank: int = 3) -> Comparison:
    return Comparison(
        comparison_id=f"q{query}", query_id=f"q{query}", query="Who?", chosen_response_id="a", rejected_response_id="b",
        chosen="Me.", rejected="You.", chosen_responder="A", rejected_responder="C", chosen_rank=1,
        rejected_rank=kept_rank,
    )  # fmt: skip


def train(reward: RewardTraining, rows: int = 10, training: TrainingSettings | None = None) -> Any:
    return train_reward_model.fn(
        comparisons=rows_of(Comparison, [comparison(n) for n in range(rows)]),
        base=BASE,
        likelihood_base=ModelHandle(name="frozen", digest="y", folder="frozen"),
        reward=reward,
        training=training or TrainingSettings(),
        seed=5,
    )


def test_the_step_works_without_a_store_and_returns_what_its_job_left(jobs: Jobs):
    trained = train(RewardTraining(rank_margin=0.5, epochs=2))
    [(module, spec)] = jobs.specs
    assert (module, type(spec)) == (JOB, RewardSpec)
    assert (spec.base_model, spec.likelihood_base, spec.epochs) == (Path("base"), Path("frozen"), 2)
    assert spec.seed == derive_seed(5, "train_reward_model") % 2**31
    pairs = list(PreferencePair.read_files(spec.pairs))
    assert [pair.pair_id for pair in pairs] == [f"q{n}" for n in range(10)]
    assert {pair.margin for pair in pairs} == {1.0}
    assert sum(pair.split is PairSplit.HELDOUT for pair in pairs) == 1
    assert trained.checkpoint.local() == spec.output_dir / "model"
    assert [(entry.metric, entry.value) for entry in trained.training_log] == [("loss", 0.5)]
    assert [score.pair_id for score in trained.scores] == ["of 1"]


def test_an_ensemble_shares_pairs_and_likelihoods_and_is_combined_on_one_process(jobs: Jobs):
    training = TrainingSettings(processes=2, zero_stage=2, use_cpu=True)
    reward = RewardTraining(ensemble=3, ensemble_score=EnsembleScore.WORST, likelihood="added")  # type: ignore[arg-type]
    trained = train(reward, training=training)
    *members, (module, combination) = jobs.specs
    specs = [spec for _, spec in members]
    assert [name for name, _ in members] == [JOB] * 3
    assert [spec.seed for spec in specs] == [
        derive_seed(5, "train_reward_model", *number) % 2**31 for number in ((), (1,), (2,))
    ]
    assert len({spec.output_dir for spec in specs}) == 3
    assert {spec.pairs for spec in specs} == {specs[0].pairs}, "they are written once"
    likelihoods = specs[0].output_dir / "likelihoods.json"
    assert [spec.answer_likelihoods for spec in specs] == [None, likelihoods, likelihoods]
    assert (module, type(combination)) == (COMBINE_JOB, EnsembleSpec)
    assert combination.members == tuple(spec.output_dir / "model" for spec in specs)
    assert (combination.pairs, combination.score) == (specs[0].pairs, EnsembleScore.WORST)
    assert (combination.training.processes, combination.training.zero_stage) == (1, 0)
    assert trained.checkpoint.local() == combination.output_dir / "model"
    assert [score.pair_id for score in trained.scores] == ["of 4"]
    assert [(entry.step, entry.metric) for entry in trained.training_log] == [(7, "loss"), (7, "ensemble_spread")]


def test_without_the_likelihood_feature_members_share_no_file(jobs: Jobs):
    train(RewardTraining(ensemble=2))
    assert [spec.answer_likelihoods for _, spec in jobs.specs[:2]] == [None, None]


# --- nothing to train on ----------------------------------------------------------------------------------------


def test_no_kept_comparison_is_told():
    with pytest.raises(EmptyResultError, match="no comparison was kept; loosen filter"):
        train(RewardTraining(), rows=0)


def answer(number: int, chosen: str, rejected: str) -> CommunityAnswer:
    return CommunityAnswer(
        pair_id=f"c{number}", question="Who?", chosen=chosen, rejected=rejected, chosen_votes=2, rejected_votes=1
    )


def train_as_is(answers: list[CommunityAnswer], pairs: int) -> Any:
    return train_as_is_reward_model.fn(
        answers=rows_of(CommunityAnswer, answers),
        base=BASE,
        pairs=pairs,
        reward=RewardTraining().plain(),
        training=TrainingSettings(),
        seed=1,
    )


def test_no_usable_community_pair_is_told():
    answers = [answer(n, *sides) for n, sides in enumerate([("Me.", ""), ("", "You."), ("Me.", "Me.")])]
    with pytest.raises(EmptyResultError, match="none of 3 community pairs has two different answers"):
        train_as_is(answers, pairs=20)


def test_the_as_is_model_learns_from_the_usable_of_the_pairs_that_were_drawn(jobs: Jobs):
    answers = [answer(n, "Me.", "You." if n % 2 else "Me.") for n in range(20)]
    train_as_is(answers, pairs=8)
    [(_, spec)] = jobs.specs
    drawn = drawn_answers(rows_of(CommunityAnswer, answers), 8, seed=1)
    assert len(drawn) == 8
    assert [one.pair_id for one in drawn] == sorted((one.pair_id for one in drawn), key=lambda name: int(name[1:]))
    assert drawn != drawn_answers(rows_of(CommunityAnswer, answers), 8, seed=2)
    assert [pair.pair_id for pair in PreferencePair.read_files(spec.pairs)] == [
        one.pair_id for one in drawn if one.rejected == "You."
    ]
    assert spec.seed == derive_seed(1, "train_as_is_reward_model") % 2**31
    assert spec.likelihood_base is None
