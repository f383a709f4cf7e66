"""Several reward models as one: levelled, combined by mean or worst case, saved as one folder."""

import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from data_contracts.conversation import Role, Turn
from data_contracts.errors import ConfigError
from data_contracts.job_spec import TrainingSettings
from data_contracts.reward_section import EnsembleScore
from data_contracts.training_specs import EnsembleSpec
from models.chat_template import prepare_tokenizer
from models.heldout_scores import conversations
from models.jobs.combine_reward_models import disagreement, write_folder
from models.reward_ensemble import Ensemble, read_ensemble
from models.reward_model import RewardModel

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
    folder = write_folder(spec(tmp_path, members, score), ensemble)
    both, single = RewardModel(folder), [RewardModel(member) for member in members]
    expected = ensemble.combine(torch.tensor([model.score_candidates(ASK, ANSWERS) for model in single])).tolist()
    assert both.score_candidates(ASK, ANSWERS) == pytest.approx(expected, abs=1e-5)
    talks = [(*ASK, Turn(Role.ASSISTANT, answer)) for answer in ANSWERS]
    assert both.score(talks) == pytest.approx(expected, abs=1e-5), "context shared or not"
    assert AutoModelForSequenceClassification.from_pretrained(folder).config.num_labels == 1, "plain transformers"


def test_a_lost_member_is_told(members: list[Path], tmp_path: Path) -> None:
    ensemble = Ensemble(score=EnsembleScore.MEAN, shifts=(0.0, 0.0))
    folder = write_folder(spec(tmp_path, members, EnsembleScore.MEAN), ensemble)
    assert read_ensemble(folder) == ensemble
    assert read_ensemble(members[0]) is None
    shutil.rmtree(folder / "members" / "1")
    with pytest.raises(ConfigError, match=r"is an ensemble of 2, but .*members/1 holds no model"):
        RewardModel(folder)


def test_conversations_end_with_the_side_that_is_asked_for() -> None:
    row = {"context": [{"role": "human", "text": "Who?"}], "chosen": "Me.", "rejected": "You."}
    assert conversations([row], "rejected") == [(Turn(Role.HUMAN, "Who?"), Turn(Role.ASSISTANT, "You."))]
