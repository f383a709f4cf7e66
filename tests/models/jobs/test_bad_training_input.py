"""What goes wrong in training is told at once, with its rows, and costs no good checkpoint: every job, for real."""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from data_contracts.config.training import TrainingSettings
from data_contracts.conversation import Role, Turn
from data_contracts.errors import ConfigError, ContractError
from data_contracts.tables.policy_prompts import PolicyPrompt
from data_contracts.tables.preference_pairs import PreferencePair
from data_contracts.tables.training_conversations import TrainingConversation
from models.jobs.pretrain import Pretraining, pretrain
from models.lm.chat_template import prepare_tokenizer, response_turn
from models.training.checkpoints import checkpoint_folder, last_complete
from models.training.tokenized_pairs import tokenize_pairs
from tests.models.jobs.forked_jobs import ForkedJobs
from tests.models.jobs.training_inputs import finetune_spec, pair, ppo_spec, pretrain_spec, reward_spec

SFT, RM, PPO = ("models.jobs.finetune_policy", "models.jobs.train_reward_model", "models.jobs.optimize_policy")
PRETRAIN = "models.jobs.pretrain"
EVERY_STEP = TrainingSettings(use_cpu=True, save_every=1)


@pytest.fixture(scope="module")
def makers(tiny_llama_dir: Path, tiny_reward_dir: Path) -> dict[str, Callable[..., Any]]:
    """What makes each job's spec from a root and changes."""
    return {
        SFT: partial(finetune_spec, model=tiny_llama_dir, training=EVERY_STEP),
        RM: partial(reward_spec, model=tiny_llama_dir, training=EVERY_STEP),
        PPO: partial(ppo_spec, policy=tiny_llama_dir, reward_model=tiny_reward_dir, training=EVERY_STEP),
    }


@pytest.mark.slow
@pytest.mark.parametrize("job", [SFT, RM])
def test_numbers_beyond_reason_stop_the_job_and_leave_its_last_checkpoint(
    job: str, forked_jobs: ForkedJobs, makers: dict[str, Callable[..., Any]], tmp_path: Path
) -> None:
    """A learning rate of 1e30 ruins the weights in the first update, which the second one sees."""
    spec = makers[job](tmp_path, learning_rate=1e30, warmup_share=0.0)
    error = forked_jobs.run(job, spec, may_fail=True).error
    assert error["class"] == "JobError"
    assert any(
        f"{name} is {value} at step 2; rows " in error["message"]
        for name in ("loss", "grad_norm")
        for value in ("nan", "inf")
    ), error
    kept = last_complete(checkpoint_folder(spec))
    assert kept is not None
    assert kept.name == "checkpoint-1"
    assert all(bool(value.isfinite().all()) for value in load_file(kept / "model.safetensors").values())


@pytest.mark.slow
def test_ppo_stops_in_the_update_that_breaks(
    forked_jobs: ForkedJobs, makers: dict[str, Callable[..., Any]], tmp_path: Path
) -> None:
    spec = makers[PPO](tmp_path, learning_rate=1e30)
    error = forked_jobs.run(PPO, spec, may_fail=True).error
    assert error["class"] == "JobError"
    assert "PPO step 1, update 1:" in error["message"]
    assert "rollouts 1-" in error["message"]


@pytest.mark.slow
@pytest.mark.parametrize("job", [SFT, RM])
def test_running_out_of_memory_names_phase_peak_and_settings(
    job: str, forked_jobs: ForkedJobs, makers: dict[str, Callable[..., Any]], tmp_path: Path
) -> None:
    spec = makers[job](tmp_path, rows=1024, batch_size=1024, micro_batch_size=1024, epochs=1)
    error = forked_jobs.run(job, spec, may_fail=True, room_mb=200).error
    assert error["class"] == "JobError"
    for part in ("out of memory while training (peak: host ", "lower micro_batch_size", "training.offload"):
        assert part in error["message"]


@pytest.mark.slow
@pytest.mark.parametrize("job", [SFT, RM, PPO])
def test_checkpoints_of_other_weights_are_not_gone_on_from(
    job: str, forked_jobs: ForkedJobs, makers: dict[str, Callable[..., Any]], tiny_llama_dir: Path, tmp_path: Path
) -> None:
    """A run is killed; then the base model changes under its path."""
    base = shutil.copytree(tiny_llama_dir, tmp_path / "base")
    spec = makers[job](tmp_path, **{"policy" if job == PPO else "model": base})
    assert -9 in forked_jobs.run(job, spec, kill_at=2).codes
    weights = {name: value + 1.0 for name, value in load_file(base / "model.safetensors").items()}
    save_file(weights, base / "model.safetensors", metadata={"format": "pt"})
    error = forked_jobs.run(job, spec, may_fail=True).error
    assert error["class"] == "ContractError"
    assert f"from another {'policy' if job == PPO else 'base_model'} under the same path" in error["message"]


def test_pretraining_checkpoints_know_their_corpus(pretrain_inputs: Path, tmp_path: Path) -> None:
    inputs = shutil.copytree(pretrain_inputs, tmp_path / "inputs")
    spec = pretrain_spec(inputs, tmp_path)
    job = Pretraining(spec)
    job._save()
    job._resume()
    parts = list(inputs.glob("*.parquet"))
    parts[0].write_bytes(parts[0].read_bytes() + b" ")
    with pytest.raises(ContractError, match="from another corpus under the same path"):
        job._resume()


@pytest.mark.parametrize(
    ("training", "words"),
    [
        (TrainingSettings(lora_rank=2), "training.lora_rank is 2, but pre-training starts from random weights"),
        (TrainingSettings(offload=True, zero_stage=1), "training.offload needs training.zero_stage 2 or 3, found 1"),
    ],
    ids=["adapters", "offload"],
)
def test_pretraining_says_what_it_cannot_do(
    training: TrainingSettings, words: str, pretrain_inputs: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=words):
        pretrain(pretrain_spec(pretrain_inputs, tmp_path, training=training))


@pytest.mark.slow
@pytest.mark.parametrize("job", [SFT, RM, PPO])
def test_nothing_to_learn_from_is_told(
    job: str, forked_jobs: ForkedJobs, makers: dict[str, Callable[..., Any]], tmp_path: Path
) -> None:
    """A table without rows."""
    spec = makers[job](tmp_path)
    files = {SFT: "conversations", RM: "pairs", PPO: "prompts"}
    path: Path = getattr(spec, files[job])[0]
    table = {SFT: TrainingConversation, RM: PreferencePair, PPO: PolicyPrompt}[job]
    path.unlink()
    table.write_file([], path)
    error = forked_jobs.run(job, spec, may_fail=True).error
    assert error["class"] == "EmptyResultError"
    assert "0" in error["message"]


def test_answers_of_the_same_tokens_are_left_out_and_counted(tiny_llama_dir: Path) -> None:
    """The contract refuses equal texts; these differ only in what the chat format removes."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama_dir)
    prepare_tokenizer(tokenizer)
    answers = [("A fox.", "A fox.</s>"), ("A fox.", "An owl."), ("A hen.", " A hen. ")]
    found = tokenize_pairs([pair(i, *sides) for i, sides in enumerate(answers)], tokenizer, max_length=96)
    assert (found.pair_ids, found.alike) == (["p1"], 2)
    with pytest.raises(ContractError, match="chosen differs from rejected"):
        PreferencePair.to_table([pair(0, "A fox.", "A fox.")])


@pytest.mark.parametrize("answer", ["", "   ", "</s>", "<pad><pad>", "<s>", "x"])
def test_every_row_has_a_token_to_learn(answer: str, tiny_llama_dir: Path) -> None:
    """However empty the answer, its end token is learnt: no batch is without a trainable token."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama_dir)
    prepare_tokenizer(tokenizer)
    turn = response_turn(tokenizer, (Turn(Role.HUMAN, "Who?"),), answer)
    assert turn.response_ids[-1] == tokenizer.eos_token_id
    assert turn.response_ids.count(tokenizer.eos_token_id) == 1
    assert turn.ids.count(tokenizer.bos_token_id) == 1
    assert tokenizer.pad_token_id not in turn.ids
