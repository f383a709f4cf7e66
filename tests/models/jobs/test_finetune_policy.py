"""SFT as a job: it learns the response only, counts what it cuts, and survives SIGKILL."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file

from data_contracts.config.training import TrainingSettings
from data_contracts.errors import JobError, TransientJobError
from data_contracts.tables.training_conversations import TrainingConversation
from data_contracts.tables.training_log import TrainingLogEntry
from models.processes.launch import run_job
from models.training.batch_stream import batch_layout, bucket_by_length, endless_order, stream_order
from tests.models.jobs.forked_jobs import ForkedJobs
from tests.models.jobs.training_inputs import finetune_spec

JOB = "models.jobs.finetune_policy"


def losses(folder: Path) -> list[float]:
    """The logged losses, in order of steps."""
    log = TrainingLogEntry.read_files([folder / "training_log.parquet"])
    return [entry.value for entry in sorted(log, key=lambda entry: entry.step) if entry.metric == "loss"]


def test_model_log_and_manifest(tiny_llama_dir: Path, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from models.lm.chat_template import response_turn

    spec, events = finetune_spec(tmp_path, tiny_llama_dir), []
    manifest = run_job(JOB, spec, spec.training, events.append)
    assert manifest.metrics["steps"] == 6  # 21 rows x 2 epochs = 42, in batches of 8
    assert [event["done"] for event in events] == [1, 2, 3, 4, 5, 6]
    logged = losses(spec.output_dir)
    assert logged[-1] < logged[0]
    names = {path.name for path in (spec.output_dir / "model").iterdir()}
    assert "model.safetensors" in names
    assert not [name for name in names if name.endswith((".bin", ".pt"))]
    tokenizer = AutoTokenizer.from_pretrained(spec.output_dir / "model")
    assert tokenizer.pad_token_id != tokenizer.eos_token_id
    AutoModelForCausalLM.from_pretrained(spec.output_dir / "model")
    # The first update's loss is the mean over the response tokens of its eight rows, computed here by hand.
    base = AutoModelForCausalLM.from_pretrained(tiny_llama_dir)
    rows = list(TrainingConversation.read_files(spec.conversations))
    total, tokens = 0.0, 0
    for i in stream_order(len(rows), spec.epochs, spec.batch_size, spec.seed)[:8]:
        turn = response_turn(tokenizer, rows[i].context, rows[i].response)
        scores = torch.log_softmax(base(input_ids=torch.tensor([turn.ids])).logits[0].detach(), dim=-1)
        for t, token in enumerate(turn.response_ids):
            total -= float(scores[len(turn.prompt_ids) + t - 1, token])
            tokens += 1
    assert logged[0] == pytest.approx(total / tokens, abs=1e-4)


def test_no_row_that_fits_is_an_empty_result(forked_jobs: ForkedJobs, tiny_llama_dir: Path, tmp_path: Path) -> None:
    spec = finetune_spec(tmp_path, tiny_llama_dir, max_length=8)
    error = forked_jobs.run(JOB, spec, may_fail=True).error
    assert error["class"] == "EmptyResultError"
    assert "21 read, 21 longer than max_length 8" in error["message"]


def kill_at(spec: Any, step: int):
    """A progress callback that kills the job's own process (not its guard) at `step`."""

    def on_progress(event: dict[str, Any]) -> None:
        if event["done"] == step:
            guard = json.loads((spec.work_dir / "job.lock").read_text())["group"]
            for child in Path(f"/proc/{guard}/task/{guard}/children").read_text().split():
                os.kill(int(child), signal.SIGKILL)

    return on_progress


@pytest.mark.slow
def test_sigkill_and_rerun_give_the_undisturbed_weights(tiny_llama_dir: Path, tmp_path: Path) -> None:
    """As a user sees it, through the launcher; `test_resume` has every job and many kills."""
    settings = TrainingSettings(use_cpu=True, save_every=4, timeout_s=300, zero_stage=2, processes=2)
    changes = {"epochs": 16, "training": settings}
    whole = finetune_spec(tmp_path / "whole", tiny_llama_dir, **changes)
    run_job(JOB, whole, settings)
    killed = finetune_spec(tmp_path / "killed", tiny_llama_dir, **changes)
    with pytest.raises(TransientJobError, match="SIGKILL"):
        run_job(JOB, killed, settings, kill_at(killed, 15))
    events: list[dict[str, Any]] = []
    manifest = run_job(JOB, killed, settings, events.append)
    assert events[0]["done"] >= 13, "at most save_every steps are done again"
    assert manifest.metrics["steps"] == 42
    assert losses(killed.output_dir) == pytest.approx(losses(whole.output_dir), abs=1e-6)
    first, second = (load_file(s.output_dir / "model" / "model.safetensors") for s in (whole, killed))
    assert first.keys() == second.keys()
    for name, weights in first.items():
        assert float((weights - second[name]).abs().max()) <= 1e-6, name


@pytest.mark.slow
def test_lora_is_merged_into_a_plain_model(forked_jobs: ForkedJobs, tiny_llama_dir: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    settings = TrainingSettings(use_cpu=True, save_every=3, timeout_s=300, lora_rank=4)
    spec = finetune_spec(tmp_path, tiny_llama_dir, training=settings)
    forked_jobs.run(JOB, spec)
    before = AutoModelForCausalLM.from_pretrained(tiny_llama_dir).state_dict()
    after = AutoModelForCausalLM.from_pretrained(spec.output_dir / "model").state_dict()
    assert before.keys() == after.keys()
    changed = {name for name, weights in before.items() if not weights.equal(after[name])}
    assert changed
    assert all("proj" in name for name in changed)


def test_a_loss_that_is_not_finite_stops_with_step_and_rows() -> None:
    from types import SimpleNamespace

    from models.training.trl_training import TrainingWatch

    watch = TrainingWatch([f"r{i}" for i in range(8)], batch_size=4, keep_checkpoints=1)
    state = SimpleNamespace(global_step=2, max_steps=2)
    watch.on_log(None, state, None, logs={"loss": 1.0, "grad_norm": 2.0})  # type: ignore[arg-type]
    watch.on_log(None, state, None, logs={"train_runtime": 1.0})  # type: ignore[arg-type]
    with pytest.raises(JobError, match="grad_norm is nan at step 2; rows r4, r5, r6, r7"):
        watch.on_log(None, state, None, logs={"loss": 1.0, "grad_norm": float("nan")})  # type: ignore[arg-type]


def test_stream_runs_through_the_epochs_without_a_seam() -> None:
    order = stream_order(rows=5, epochs=2, batch_size=4, seed=1)
    assert len(order) == 12
    assert sorted(order[:5]) == sorted(order[5:10]) == list(range(5))
    assert list(endless_order(5, 7, 1)) == list(order[:7])
    assert list(stream_order(5, 2, 4, 2)) != list(order)


def test_rows_of_like_length_come_together_inside_their_batch() -> None:
    # Lengths of the six rows: 5 1 4 1 2 9. Batches (5 3 0) and (1 2 4), each sorted by length, ties in order.
    order = bucket_by_length(np.array([5, 3, 0, 1, 2, 4]), [5, 1, 4, 1, 2, 9], 3)
    assert order.tolist() == [3, 0, 5, 1, 4, 2]
    assert bucket_by_length(np.array([2, 1, 0]), [7, 7, 7], 3).tolist() == [2, 1, 0]


def test_layout_divides_the_batch() -> None:
    assert batch_layout(128, 8, 1) == batch_layout(128 * 2, 8, 2)
    assert (batch_layout(12, 8, 1).micro, batch_layout(12, 8, 1).accumulation) == (6, 2)
