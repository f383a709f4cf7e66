"""Several reward models as one: levelled, combined by mean or worst case, saved as one folder."""

import json
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from data_contracts.config.reward import EnsembleScore
from data_contracts.config.training import TrainingSettings
from data_contracts.conversation import Role, Turn
from data_contracts.errors import ConfigError
from data_contracts.specs.combine_reward_models import EnsembleSpec
from models.jobs.combine_reward_models import disagreement, write_folder, write_settings
from models.lm.chat_template import prepare_tokenizer
from models.reward.answer_likelihood import BASE_FOLDER, AnswerLikelihood, LikelihoodWeights
from models.reward.combination import RewardCombination
from models.reward.ensemble import Ensemble, read_ensemble
from models.reward.heldout_scores import both_sides
from models.reward.reward_model import RewardModel
from tests.models.jobs.training_inputs import pair

ASK = (Turn(Role.HUMAN, "What pet does Mira have?"),)
ANSWERS = ["Mira has pet fox, job smith.", "I do not know.", "Fox."]


@pytest.fixture(scope="module")
def members(tiny_llama_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two random reward models on the tiny trunk."""
    folders = []
    for seed in (0, 1):
        folders.append(tmp_path_factory.mktemp("member"))
        tokenizer = AutoTokenizer.from_pretrained(tiny_llama_dir)
        prepare_tokenizer(tokenizer)
        torch.manual_seed(seed)
        model = AutoModelForSequenceClassification.from_pretrained(tiny_llama_dir, num_labels=1)
        model.score.weight.data.normal_(0.0, 1.0)
        model.save_pretrained(folders[-1])
        tokenizer.save_pretrained(folders[-1])
    return folders


def spec(root: Path, members: list[Path], score: EnsembleScore) -> EnsembleSpec:
    return EnsembleSpec(
        output_dir=root / "out", work_dir=root / "work", seed=1, members=tuple(members), pairs=(root / "pairs",),
        score=score, micro_batch_size=4, training=TrainingSettings(use_cpu=True),
    )  # fmt: skip


def combined(root: Path, members: list[Path], ensemble: Ensemble) -> Path:
    """The members as one folder with these levels."""
    folder = write_folder(spec(root, members, ensemble.score))
    write_settings(folder, ensemble)
    return folder


def test_scores_are_levelled_before_they_are_compared() -> None:
    scores = torch.tensor([[11.0, 12.0, 13.0], [-1.0, -3.0, 0.0]])  # levels 10 and -2
    shifts = (10.0, -2.0)  # levelled: 1 2 3 and 1 -1 2
    assert Ensemble(score=EnsembleScore.MEAN, shifts=shifts).combine(scores).tolist() == [1.0, 0.5, 2.5]
    assert Ensemble(score=EnsembleScore.WORST, shifts=shifts).combine(scores).tolist() == [1.0, -1.0, 2.0]


def test_disagreement_by_hand() -> None:
    # Two members, two pairs: chosen 1 2 | 1 0, rejected 0 0 | 0 1; the second pair splits them.
    level = torch.tensor([[1.0, 2.0, 0.0, 0.0], [1.0, 0.0, 0.0, 1.0]])
    found = disagreement(level)
    assert found["ensemble_split_pairs"] == 0.5
    assert found["ensemble_spread"] == pytest.approx((0 + 1 + 0 + 0.5) / 4)


@pytest.mark.parametrize("score", list(EnsembleScore))
def test_a_saved_ensemble_scores_as_its_members_combined(
    members: list[Path], tmp_path: Path, score: EnsembleScore
) -> None:
    ensemble = Ensemble(score=score, shifts=(0.3, -0.2))
    folder = combined(tmp_path, members, ensemble)
    both, single = RewardModel(folder), [RewardModel(member) for member in members]
    expected = ensemble.combine(torch.tensor([model.score_candidates(ASK, ANSWERS) for model in single])).tolist()
    assert both.score_candidates(ASK, ANSWERS) == pytest.approx(expected, abs=1e-5)
    talks = [(*ASK, Turn(Role.ASSISTANT, answer)) for answer in ANSWERS]
    assert both.score(talks) == pytest.approx(expected, abs=1e-5), "context shared or not"
    assert AutoModelForSequenceClassification.from_pretrained(folder).config.num_labels == 1, "plain transformers"


def test_a_lost_member_is_told(members: list[Path], tmp_path: Path) -> None:
    ensemble = Ensemble(score=EnsembleScore.MEAN, shifts=(0.0, 0.0))
    folder = combined(tmp_path, members, ensemble)
    assert read_ensemble(folder) == ensemble
    assert read_ensemble(members[0]) is None
    shutil.rmtree(folder / "members" / "1")
    with pytest.raises(ConfigError, match=r"is an ensemble of 2, but .*members/1 holds no model"):
        RewardModel(folder)


def test_conversations_end_with_the_chosen_sides_and_then_with_the_rejected_ones() -> None:
    pairs = [pair(0, "Me.", "You."), pair(1, "Us.", "Them.")]
    assert both_sides(pairs) == [
        (*pairs[i].context, Turn(Role.ASSISTANT, answer))
        for i, answer in ((0, "Me."), (1, "Us."), (0, "You."), (1, "Them."))
    ]


class Learnt(NamedTuple):
    """A member's weight of the likelihood, and what it standardises by."""

    weight: float
    mean: float = -3.0
    std: float = 0.5
    head_weight: float = 1.0


def with_likelihood(root: Path, member: Path, base: Path, learnt: Learnt) -> Path:
    """A copy of a member that has the likelihood feature."""
    folder = Path(shutil.copytree(member, root))
    shutil.copytree(base, folder / BASE_FOLDER)
    (folder / "likelihood.json").write_text(json.dumps(learnt._asdict()))
    return folder


@pytest.fixture
def feature_members(members: list[Path], tiny_llama_dir: Path, tmp_path: Path) -> list[Path]:
    """The two members, each with a weight of its own for the likelihood under the tiny trunk."""
    learnt = (Learnt(2.0), Learnt(-1.0, std=2.0))
    folders = [tmp_path / "with-0", tmp_path / "with-1"]
    return [with_likelihood(f, m, tiny_llama_dir, w) for f, m, w in zip(folders, members, learnt, strict=True)]


@pytest.mark.parametrize("score", list(EnsembleScore))
def test_each_member_keeps_its_own_weight_of_the_likelihood(
    feature_members: list[Path], tmp_path: Path, score: EnsembleScore
) -> None:
    """One base in the folder; every way of scoring equals the members' own scores, combined."""
    ensemble = Ensemble(score=score, shifts=(0.3, -0.2))
    folder = combined(tmp_path, feature_members, ensemble)
    assert sorted(path.parent.name for path in folder.rglob("likelihood_base/config.json")) == [BASE_FOLDER]
    both, single = RewardModel(folder), [RewardModel(member) for member in feature_members]
    talks = [(*ASK, Turn(Role.ASSISTANT, answer)) for answer in ANSWERS]
    alone = [model.score(talks) for model in single]
    assert both.member_scores(talks) == [pytest.approx(scores, abs=1e-6) for scores in alone]
    expected = ensemble.combine(torch.tensor(alone)).tolist()
    assert both.score(talks) == pytest.approx(expected, abs=1e-5)
    assert both.score_candidates(ASK, ANSWERS) == pytest.approx(expected, abs=1e-4)


def test_the_base_reads_an_answer_once_for_all_members(
    feature_members: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = RewardModel(combined(tmp_path, feature_members, Ensemble(score=EnsembleScore.MEAN, shifts=(0.0, 0.0))))
    read: list[int] = []
    whole = AnswerLikelihood.mean_logprobs
    monkeypatch.setattr(
        AnswerLikelihood, "mean_logprobs", lambda self, rows: read.append(len(rows)) or whole(self, rows)
    )
    model.score_candidates(ASK, ANSWERS)
    assert read == [len(ANSWERS)]


def test_rewards_of_two_members_by_hand() -> None:
    """Two answers with log-probabilities -1 and -2: standardised 1 and -1 by the first member, 1 and 0 by the second."""
    weights = (
        LikelihoodWeights(weight=2.0, mean=-1.5, std=0.5),  # 1 + 2 x 1, 2 + 2 x -1
        LikelihoodWeights(weight=-1.0, mean=-2.0, std=1.0, head_weight=0.0),  # -1 x 1, -1 x 0
    )
    ensemble = Ensemble(score=EnsembleScore.WORST, shifts=(1.0, -1.0))
    combination = RewardCombination((Path("a"), Path("b")), weights, ensemble)
    scores = combination.member_scores([[1.0, 2.0], [0.0, 4.0]], [-1.0, -2.0])
    assert scores == [[3.0, 0.0], [-1.0, 0.0]]
    assert combination.combine(scores) == [0.0, -1.0]  # levelled: 2 -1 | 0 1


def test_an_ensemble_of_one_is_that_member(feature_members: list[Path], tmp_path: Path) -> None:
    one = Ensemble(score=EnsembleScore.WORST, shifts=(0.0,))
    folder = combined(tmp_path, feature_members[:1], one)
    ensemble, member = (RewardModel(each).score_candidates(ASK, ANSWERS) for each in (folder, feature_members[0]))
    assert ensemble == pytest.approx(member, rel=1e-6)


def test_members_must_agree_on_the_likelihood(feature_members: list[Path], members: list[Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has another likelihood base than"):
        write_folder(spec(tmp_path, [feature_members[0], members[1]], EnsembleScore.MEAN))
    folder = combined(tmp_path, feature_members, Ensemble(score=EnsembleScore.MEAN, shifts=(0.0, 0.0)))
    (folder / "members" / "1" / "likelihood.json").unlink()
    with pytest.raises(ConfigError, match="1 of 2 members have the likelihood feature"):
        RewardModel(folder)
