"""The pre-training job: its products, its arithmetic, its resume after SIGKILL, its bad input."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from data_contracts.errors import ConfigError, JobError
from data_contracts.specs.job_spec import JobManifest
from data_contracts.specs.pretrain import PretrainSpec
from data_contracts.tables.documents import Document
from data_contracts.tables.training_log import TrainingLogEntry
from models.jobs import pretrain
from models.pretraining.batches import IGNORED, Batch
from models.pretraining.learning_watch import attribute_ids, fact_ids, has_formed, recent_loss, what_has_not_formed
from models.pretraining.passes import own_passes, pass_losses, target_count, watched_mean
from models.tiny_world.vocabulary import ATTRIBUTE_VALUES, ATTRIBUTES
from tests.models.jobs.training_inputs import PRETRAIN_STEPS, pretrain_spec


def _weights(spec: PretrainSpec) -> dict[str, torch.Tensor]:
    return load_file(spec.output_dir / "model" / "model.safetensors")


@pytest.fixture(scope="module")
def finished(pretrain_inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> PretrainSpec:
    spec = pretrain_spec(pretrain_inputs, tmp_path_factory.mktemp("finished"))
    pretrain.pretrain(spec)
    return spec


def test_manifest_log_and_model(finished: PretrainSpec) -> None:
    manifest = JobManifest.model_validate_json((finished.output_dir / "manifest.json").read_bytes())
    assert manifest.job == "models.jobs.pretrain"
    assert manifest.spec_digest == finished.digest()
    assert manifest.outputs == {"model": "model", "training_log": "training_log.parquet"}
    assert manifest.metrics["steps"] == PRETRAIN_STEPS
    assert manifest.metrics["formed"] == 0.0
    log = TrainingLogEntry.read_parts([finished.output_dir / "training_log.parquet"]).to_pandas()
    losses = log[log.metric == "loss"].sort_values("step")
    assert losses.step.tolist() == [10, 20, 30, 40]
    assert losses.value.iloc[0] > losses.value.iloc[-1]
    assert set(log.metric) == {"loss", "copy_loss", "recall_loss", "order_loss", "lr", "grad_norm"}


def test_plain_transformers_loads_and_generates(finished: PretrainSpec) -> None:
    model = AutoModelForCausalLM.from_pretrained(finished.output_dir / "model")
    tokenizer = AutoTokenizer.from_pretrained(finished.output_dir / "model")
    assert isinstance(tokenizer, PreTrainedTokenizerFast)
    assert model.config.max_position_embeddings == 256
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id
    prompt = tokenizer("Human: Who is Mira?\n\nAssistant:", return_tensors="pt")
    output = model.generate(**prompt, max_new_tokens=5, do_sample=False)
    assert output.shape[1] <= prompt["input_ids"].shape[1] + 5
    saved = load_file(finished.output_dir / "model" / "model.safetensors")
    assert "lm_head.weight" not in saved  # tied to the embeddings


def test_a_rerun_gives_the_same_bytes(finished: PretrainSpec, pretrain_inputs: Path, tmp_path: Path) -> None:
    again = pretrain_spec(pretrain_inputs, tmp_path)
    assert again.digest() == finished.digest()
    pretrain.pretrain(again)
    for name in ("model/model.safetensors", "training_log.parquet", "manifest.json", "model/tokenizer.json"):
        assert (again.output_dir / name).read_bytes() == (finished.output_dir / name).read_bytes()


def test_a_checkpoint_of_another_spec_is_left_alone(
    finished: PretrainSpec, pretrain_inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = pretrain.Pretraining(pretrain_spec(pretrain_inputs, tmp_path, log_every=7))
    other.state.step = 20
    other._save()
    spec = pretrain_spec(pretrain_inputs, tmp_path)
    pretrain.pretrain(spec)
    assert "resumed" not in capsys.readouterr().out
    assert torch.equal(_weights(spec)["model.norm.weight"], _weights(finished)["model.norm.weight"])


def test_unformed_copying_starts_over_from_another_seed(
    finished: PretrainSpec, pretrain_inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics = pretrain.pretrain(pretrain_spec(pretrain_inputs, tmp_path, formed_by_tokens=1000, attempts=2))
    told = capsys.readouterr().out
    assert "name copying has not formed by step 10" in told
    assert told.index("starting over") < told.index("no attempt left")
    assert metrics["attempts"] == 2.0
    assert metrics["steps"] == PRETRAIN_STEPS
    spec = pretrain_spec(pretrain_inputs, tmp_path)
    assert not torch.equal(_weights(spec)["model.norm.weight"], _weights(finished)["model.norm.weight"])


@pytest.mark.parametrize(("name", "called"), [("recall", "recall of facts"), ("order", "order of the things asked")])
def test_what_is_unformed_at_the_end_starts_over(
    name: str, called: str, pretrain_inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    watch: dict[str, Any] = {f"{name}_threshold": 0.01, "attempts": 2}
    metrics = pretrain.pretrain(pretrain_spec(pretrain_inputs, tmp_path, **watch))
    told = capsys.readouterr().out
    assert f"{called} has not formed by step {PRETRAIN_STEPS} (loss " in told
    assert told.index("starting over") < told.index("no attempt left")
    assert (metrics["attempts"], metrics["steps"], metrics["formed"]) == (2.0, PRETRAIN_STEPS, 0.0)
    assert metrics[f"{name}_loss"] > 0.01


def test_a_size_may_be_asked_to_know_more_than_the_others(pretrain_inputs: Path, tmp_path: Path) -> None:
    spec = pretrain_spec(pretrain_inputs, tmp_path, recall_threshold=1e6, order_threshold=0.5)
    assert spec.thresholds == {"copy": 0.5, "recall": 1e6, "order": 0.5}
    own = spec.model_copy(update={"size": spec.size.model_copy(update={"recall_threshold": 0.01})})
    assert own.thresholds == {"copy": 0.5, "recall": 0.01, "order": 0.5}
    assert own.digest() != spec.digest()
    watched = {"copy": [0.0], "recall": [0.3], "order": [0.3]}
    assert what_has_not_formed(7, spec, 7, watched) is None
    assert what_has_not_formed(7, own, 7, watched) == (
        "recall of facts has not formed by step 7 (loss 0.30 nats, threshold 0.01)"
    )


def test_facts_are_the_values_of_the_world_and_what_is_asked_are_its_attributes(
    pretrain_inputs: Path, tmp_path: Path
) -> None:
    job = pretrain.Pretraining(pretrain_spec(pretrain_inputs, tmp_path))
    asked = set(job.tokenizer.decode(attribute_ids(job.tokenizer)).split())
    assert asked
    assert asked <= set(ATTRIBUTES)
    known = job.tokenizer.convert_ids_to_tokens(fact_ids(job.tokenizer))
    assert known
    assert {word.lstrip("Ġ▁ ") for word in known} <= {value for values in ATTRIBUTE_VALUES.values() for value in values}


def test_learning_rate_by_hand(pretrain_inputs: Path, tmp_path: Path) -> None:
    spec = pretrain_spec(pretrain_inputs, tmp_path, warmup_steps=4)  # of 40 steps; peak 0.01
    assert [pretrain.learning_rate(step, 40, spec) for step in (0, 1, 3)] == pytest.approx([0.0025, 0.005, 0.01])
    assert pretrain.learning_rate(4, 40, spec) == pytest.approx(0.01)
    assert pretrain.learning_rate(22, 40, spec) == pytest.approx(0.005)  # half of the cosine
    assert pretrain.learning_rate(40, 40, spec) == pytest.approx(0.0)


def test_loss_agrees_with_transformers(finished: PretrainSpec, pretrain_inputs: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(finished.output_dir / "model")
    plan = pretrain.Pretraining(finished).plan
    batch = next(b for b in map(plan.batch, range(plan.steps)) if all(marks.any() for marks in b.watched.values()))
    labels = torch.from_numpy(batch.targets)
    cpu = torch.device("cpu")
    loss, found = pass_losses(model, batch, target_count(batch, cpu), cpu)
    # transformers shifts labels itself; a column of ignored labels in front undoes that.
    inputs_ = torch.from_numpy(batch.inputs)
    shifted = torch.cat([torch.full_like(labels[:, :1], -100), labels], 1)
    padded = torch.cat([inputs_, torch.zeros_like(inputs_[:, :1])], 1)
    assert loss.item() == pytest.approx(model(input_ids=padded, labels=shifted).loss.item(), abs=1e-5)
    expected = -model(input_ids=inputs_).logits.log_softmax(-1).gather(-1, labels.clamp(min=0)[..., None])[..., 0]
    assert set(batch.watched) == {"copy", "recall", "order"}
    for name, marks in batch.watched.items():
        marked = expected[torch.from_numpy(marks)]
        assert watched_mean(found, name) == pytest.approx(marked.mean().item(), abs=1e-5)


def _batch(rows: int) -> Batch:
    """Rows of three tokens; the first is two tokens and padding."""
    inputs = np.arange(3 * rows).reshape(rows, 3) + 1
    targets = inputs + 1
    targets[0, 2] = IGNORED
    return Batch(inputs, targets, {"copy": inputs == 2, "recall": inputs == 5})


def test_rows_are_shared_out_by_hand() -> None:
    """Five rows on two ranks in passes of six tokens, two rows: the second rank's third row is one without targets."""
    batch = _batch(5)
    first, second = ([part.inputs[:, 0].tolist() for part in own_passes(batch, rank, 2, 6)] for rank in (0, 1))
    assert first == [[1, 7], [13]]
    assert second == [[4, 10], [13]]
    spare = own_passes(batch, 1, 2, 6)[1]
    assert (spare.targets == IGNORED).all()
    assert own_passes(batch, 0, 1, None) == [batch]
    assert [len(part.inputs) for part in own_passes(batch, 0, 1, 1)] == [1] * 5, "a row is the least"


@given(rows=st.integers(1, 9), world=st.integers(1, 4), most=st.none() | st.integers(1, 30))
def test_every_row_is_learnt_once_in_as_many_passes_on_every_rank(rows: int, world: int, most: int | None) -> None:
    batch = _batch(rows)
    shares = [own_passes(batch, rank, world, most) for rank in range(world)]
    assert len({tuple(part.inputs.shape for part in share) for share in shares}) == 1
    parts = [part for share in shares for part in share]
    for read in (lambda b: b.targets, lambda b: b.watched["copy"], lambda b: b.watched["recall"]):
        found = sorted(row.tolist() for part in parts for row in read(part) if (row > 0).any())
        assert found == sorted(row.tolist() for row in read(batch) if (row > 0).any())


def test_losses_of_passes_add_up_to_the_whole(finished: PretrainSpec) -> None:
    job = pretrain.Pretraining(finished)
    batch, cpu = job.plan.batch(3), torch.device("cpu")
    targets = target_count(batch, cpu)
    whole = pass_losses(job.model, batch, targets, cpu)[1]
    parts = [pass_losses(job.model, p, targets, cpu)[1] for rank in (0, 1) for p in own_passes(batch, rank, 2, 20)]
    assert len(parts) > 2
    assert {name: sum(part[name] for part in parts) for name in whole} == pytest.approx(whole, abs=1e-5)


def test_bad_numbers_end_the_job(pretrain_inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(engine: Any, *_: Any) -> tuple[torch.Tensor, dict[str, float]]:
        found = {"loss": math.nan, "copy": 1.0, "copy_count": 1.0, "recall": 1.0, "recall_count": 1.0}
        return sum(p.sum() for p in engine.core.parameters()) * torch.tensor(math.nan), found

    monkeypatch.setattr(pretrain, "pass_losses", broken)
    with pytest.raises(JobError, match=r"loss is nan and gradient norm nan at step 1, rows that begin .*; lower the"):
        pretrain.pretrain(pretrain_spec(pretrain_inputs, tmp_path))
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_bad_inputs_are_named(pretrain_inputs: Path, tmp_path: Path, tiny_llama_dir: Path) -> None:
    Document.write_part(Document.empty(), tmp_path / "empty.parquet")
    spec = pretrain_spec(pretrain_inputs, tmp_path)
    with pytest.raises(ConfigError, match=r"empty\.parquet .* holds no documents"):
        pretrain.pretrain(spec.model_copy(update={"corpus": [tmp_path / "empty.parquet"]}))
    with pytest.raises(ConfigError, match="no token 'Human:'"):
        pretrain.pretrain(spec.model_copy(update={"tokenizer": tiny_llama_dir}))


def test_copying_counts_as_formed_though_longer_rows_raise_its_loss_again() -> None:
    formed, bump = [6.0] * 100 + [0.2] * 60, [2.0] * 60
    assert not has_formed([6.0] * 100 + [0.2] * 20, 0.5)  # the mean of the last fifty is still 3.7
    assert has_formed(formed, 0.5)
    assert has_formed(formed + bump, 0.5)
    assert recent_loss(formed + bump) == 2.0
    assert not has_formed([math.nan] * 80, 0.5)
    assert recent_loss([math.nan]) == math.inf
