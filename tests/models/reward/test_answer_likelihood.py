"""The likelihood feature: what is averaged, how it joins the head, and what a broken folder says."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from data_contracts.conversation import Role, Turn
from data_contracts.errors import ConfigError
from models.lm.chat_template import RenderedTurn, prepare_tokenizer, response_turn
from models.reward.answer_likelihood import AnswerLikelihood, LikelihoodWeights, read_weights

ASK = (Turn(Role.HUMAN, "What pet does Mira have?"),)


@pytest.fixture(scope="module")
def rows(tiny_llama_dir: Path) -> list[RenderedTurn]:
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama_dir)
    prepare_tokenizer(tokenizer)
    return [response_turn(tokenizer, ASK, answer) for answer in ("Fox.", "Mira has pet fox, job smith, town Rome.", "")]


def test_the_mean_is_over_the_answers_tokens_without_the_end(tiny_llama_dir: Path, rows: list[RenderedTurn]) -> None:
    """Against the logits of each row alone, summed by hand; an empty answer is judged by its end token."""
    model = AutoModelForCausalLM.from_pretrained(tiny_llama_dir, dtype=torch.float32).eval()
    expected = []
    for row in rows:
        logprobs = torch.log_softmax(model(input_ids=torch.tensor([row.ids])).logits[0].detach(), dim=-1)
        answer = row.response_ids[:-1] or row.response_ids
        first = len(row.prompt_ids)
        expected.append(sum(float(logprobs[first + i - 1, token]) for i, token in enumerate(answer)) / len(answer))
    for batch_size in (1, 3):
        found = AnswerLikelihood(tiny_llama_dir, batch_size, "cpu").mean_logprobs(rows)
        assert found == pytest.approx(expected, abs=1e-5)


def test_reward_is_head_plus_weighted_standard_likelihood() -> None:
    weights = LikelihoodWeights(weight=2.0, mean=-1.5, std=0.5)
    assert weights.combine(0.25, -1.0) == pytest.approx(0.25 + 2.0 * 1.0)
    alone = weights.model_copy(update={"head_weight": 0.0})
    assert alone.combine(100.0, -2.0) == pytest.approx(-2.0)


def test_a_folder_without_the_feature_has_none(tmp_path: Path) -> None:
    assert read_weights(tmp_path) is None


@pytest.mark.parametrize("content", ["{", '{"weight": 1, "mean": 0, "std": 0}', '{"weight": NaN, "mean": 0, "std": 1}'])
def test_a_broken_file_says_what_to_do(tmp_path: Path, content: str) -> None:
    (tmp_path / "likelihood.json").write_text(content)
    with pytest.raises(ConfigError, match="train the reward model again"):
        read_weights(tmp_path)


def test_a_folder_without_the_base_is_refused(tiny_llama_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "likelihood.json").write_text(json.dumps({"weight": 1.0, "mean": 0.0, "std": 1.0}))
    with pytest.raises(ConfigError, match="copy the folder whole"):
        read_weights(tmp_path)
    shutil.copytree(tiny_llama_dir, tmp_path / "likelihood_base")
    assert read_weights(tmp_path) == LikelihoodWeights(weight=1.0, mean=0.0, std=1.0)
