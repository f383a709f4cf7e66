"""The reward model: reads the end token, independent of batches, trims old turns, refuses what is none."""

from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

from data_contracts.conversation import Role, Turn
from data_contracts.errors import ConfigError, EngineError
from models.lm.chat_template import prepare_tokenizer, render
from models.lm.tokenizer_check import same_tokenizer
from models.reward.reward_model import RewardModel
from models.rl.scoring import RewardModelScorer

ASK = (Turn(Role.HUMAN, "What pet does Mira have?"),)
ANSWERS = ["Mira has pet fox, job smith.", "I do not know.", "Fox.", "Well, it is a long story about a fox and an owl."]


def test_scores_are_read_at_the_end_token(reward_dir: Path) -> None:
    rewards = RewardModel(reward_dir)
    scores = rewards.score_candidates(ASK, ANSWERS)
    assert len(set(scores)) == len(ANSWERS)
    for answer, score in zip(ANSWERS, scores, strict=True):
        text = render(rewards.tokenizer, (*ASK, Turn(Role.ASSISTANT, answer)))
        ids = torch.tensor([rewards.tokenizer(text, add_special_tokens=False)["input_ids"]])
        hidden = rewards.model.model(input_ids=ids).last_hidden_state[0, -1]
        assert score == pytest.approx(float((rewards.model.score.weight[0] @ hidden).detach()), abs=1e-5)


def test_scores_do_not_depend_on_batches(reward_dir: Path) -> None:
    talks = [(*ASK, Turn(Role.ASSISTANT, answer)) for answer in ANSWERS * 3]
    one, many = RewardModel(reward_dir, batch_size=1), RewardModel(reward_dir, batch_size=8)
    assert many.score(talks) == pytest.approx(one.score(talks), abs=1e-5)
    assert many.score(talks[::-1]) == pytest.approx(one.score(talks)[::-1], abs=1e-5)


def test_candidates_that_share_a_context_score_as_apart(reward_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rewards = RewardModel(reward_dir, batch_size=6)
    longer = (*ASK, Turn(Role.ASSISTANT, "Fox."), Turn(Role.HUMAN, "And which job does she have, if any at all?"))
    groups = [(ASK, ANSWERS), (longer, ANSWERS[:1]), (ASK, []), (longer, [*ANSWERS, *ANSWERS[::-1]])]
    together = rewards.score_groups(groups)
    assert [len(scores) for scores in together] == [4, 1, 0, 8]
    for (context, answers), scores in zip(groups, together, strict=True):
        apart = [rewards.score([(*context, Turn(Role.ASSISTANT, answer))])[0] for answer in answers]
        assert scores == pytest.approx(apart, abs=1e-4)
    monkeypatch.setattr("models.reward.reward_model.CACHE_BYTES", 1)
    for scores, again in zip(together, rewards.score_groups(groups), strict=True):
        assert scores == pytest.approx(again, abs=1e-4)
    assert rewards.shares_context
    rewards.shares_context = False
    for scores, again in zip(together, rewards.score_groups(groups), strict=True):
        assert scores == pytest.approx(again, abs=1e-4)


def test_old_turns_go_when_positions_run_out(reward_dir: Path) -> None:
    rewards = RewardModel(reward_dir)
    long_ago = (Turn(Role.HUMAN, "old news " * 60), Turn(Role.ASSISTANT, "Yes."))
    talk = (*ASK, Turn(Role.ASSISTANT, "Fox."))
    assert rewards.score([(*long_ago, *talk)]) == pytest.approx(rewards.score([talk]))
    assert rewards.trimmed_rows == 1
    with pytest.raises(EngineError, match="256 positions"):
        rewards.score([(*ASK, Turn(Role.ASSISTANT, "fox " * 400))])


def test_what_cannot_be_scored_is_refused(reward_dir: Path, tiny_llama_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="must end with an assistant turn"):
        RewardModel(reward_dir).score([ASK])
    with pytest.raises(ConfigError, match=r"no config\.json"):
        RewardModel(tmp_path)
    with pytest.raises(ConfigError, match="is no reward model"):
        RewardModel(tiny_llama_dir)


def test_rollouts_are_scored_alike_by_ids_and_by_text(reward_dir: Path) -> None:
    rewards = RewardModel(reward_dir)
    scorer = RewardModelScorer(rewards, rewards.tokenizer)
    assert scorer.shares_ids
    prompt = rewards.tokenizer(render(rewards.tokenizer, ASK), add_special_tokens=False)["input_ids"]
    ended = [rewards.tokenizer(" " + answer, add_special_tokens=False)["input_ids"] + [2] for answer in ANSWERS]
    cut = [response[:-1] for response in ended]
    prompts, contexts = [prompt] * len(ANSWERS), [ASK] * len(ANSWERS)
    expected = rewards.score_candidates(ASK, ANSWERS)
    assert scorer.score(contexts, prompts, ended) == pytest.approx(expected, abs=1e-5)
    assert scorer.score(contexts, prompts, cut) == pytest.approx(expected, abs=1e-5), "an end token is appended"
    scorer.shares_ids = False
    assert scorer.score(contexts, prompts, ended) == pytest.approx(expected, abs=1e-5)


def test_same_tokenizer_sees_a_difference(tiny_llama_dir: Path) -> None:
    first, second = (AutoTokenizer.from_pretrained(tiny_llama_dir) for _ in range(2))
    prepare_tokenizer(first)
    prepare_tokenizer(second)
    assert same_tokenizer(first, second)
    second.add_tokens(["fox"])
    assert not same_tokenizer(first, second)
