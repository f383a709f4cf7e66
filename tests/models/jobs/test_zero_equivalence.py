"""The same spec gives the same losses and weights under every ZeRO stage, number of processes and accumulation.

Every run is compared with the plain one: one process, no DeepSpeed, one micro-batch per update. Rollouts of PPO, RLOO and
GRPO are drawn from recorded random numbers, and the rollouts of both runs are compared before their losses. What may
stand in PPO's place shares its code or DPO's with others and runs in some of the layouts.
"""

from collections.abc import Callable
from functools import partial
from itertools import product
from math import isfinite
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from data_contracts.config.training import TrainingSettings
from data_contracts.specs.job_spec import MANIFEST_NAME, JobManifest
from data_contracts.tables.rollouts import Rollout
from data_contracts.tables.training_log import TrainingLogEntry
from tests.models.jobs.forked_jobs import ForkedJobs
from tests.models.jobs.training_inputs import finetune_spec, ppo_spec, preference_spec, reward_spec

pytestmark = pytest.mark.slow
BATCH = 8
JOBS = {
    "sft": "models.jobs.finetune_policy",
    "rm": "models.jobs.train_reward_model",
    "ppo": "models.jobs.optimize_policy",
    "rloo": "models.jobs.optimize_policy",
    "grpo": "models.jobs.optimize_policy",
    "dpo": "models.jobs.optimize_by_preferences",
    "sigmoid_norm": "models.jobs.optimize_by_preferences",
}
EVERY_LAYOUT = tuple(product((0, 1, 2, 3), (1, 2), (1, 4)))  # ZeRO stage, processes, accumulation
SOME_LAYOUTS = ((0, 1, 4), (0, 2, 1), (1, 2, 4), (2, 2, 1), (3, 1, 1), (3, 2, 4))
LAYOUTS = [(job, *layout) for job in JOBS for layout in (EVERY_LAYOUT if job in ("sft", "rm", "ppo") else SOME_LAYOUTS)]
PER_MICRO_BATCH = {"mean_token_accuracy", "entropy", "accuracy", "margin", "min_reward", "mean_reward", "max_reward"}
Make = Callable[..., Any]


@pytest.fixture(scope="module")
def makers(tiny_llama_dir: Path, tiny_reward_dir: Path) -> dict[str, Make]:
    """What makes each job's spec, given a root, a micro-batch and training settings."""
    sizes = {"steps": 2, "rollouts": BATCH, "minibatch_size": BATCH, "epochs": 2, "validation_share": 0.0}
    policy = partial(ppo_spec, policy=tiny_llama_dir, reward_model=tiny_reward_dir, **sizes)
    groups = {"samples_per_prompt": BATCH // 2, "kl_coefficient": 0.05}
    pairs = partial(preference_spec, model=tiny_llama_dir, rows=13, epochs=1.5)
    return {
        "sft": partial(finetune_spec, model=tiny_llama_dir, rows=13, epochs=1.5),
        "rm": partial(reward_spec, model=tiny_llama_dir, rows=13, epochs=1.5),
        "ppo": policy,
        "rloo": partial(policy, algorithm="rloo", **groups),
        "grpo": partial(policy, algorithm="grpo", **groups),
        "dpo": partial(pairs, algorithm="dpo"),
        "sigmoid_norm": partial(pairs, algorithm="sigmoid_norm"),
    }


def run(jobs: ForkedJobs, job: str, make: Make, root: Path, accumulation: int = 1, **settings: Any) -> Path:
    """Run a job in one layout and return its output folder."""
    training = TrainingSettings(use_cpu=True, save_every=100, **settings)
    root.mkdir(parents=True)
    spec = make(root, micro_batch_size=BATCH // (training.processes * accumulation), training=training)
    jobs.run(JOBS[job], spec)
    return spec.output_dir


def measured(folder: Path) -> dict[tuple[int, str], float]:
    """The training log by step and metric, without what TRL averages over micro-batches of unequal size.

    At step 0 stands what the model makes of held-out rows in the end.
    """
    log = TrainingLogEntry.read_files([folder / "training_log.parquet"])
    by_trl = not (folder / "rollouts").exists()
    metrics = JobManifest.model_validate_json((folder / MANIFEST_NAME).read_bytes()).metrics
    return {(0, name): value for name, value in metrics.items() if name.startswith("heldout_")} | {
        (entry.step, entry.metric): entry.value for entry in log if not (by_trl and entry.metric in PER_MICRO_BATCH)
    }


def sampled(folder: Path) -> list[tuple[str, str, int]]:
    """What PPO sampled: nothing for the other jobs."""
    rollouts = Rollout.read_files(sorted((folder / "rollouts").glob("*.parquet")))
    return [(rollout.rollout_id, rollout.response, rollout.tokens) for rollout in rollouts]


def assert_same(found: Path, expected: Path, name: str, atol: float = 1e-4) -> None:
    """Same rollouts, same metrics within 1e-4, same weights up to what Adam makes of rounding."""
    assert sampled(found) == sampled(expected), name
    ours, theirs = measured(found), measured(expected)
    counted = {key for key in theirs if key[1].endswith("clip_fraction")}
    assert {key: ours[key] for key in ours.keys() - counted} == pytest.approx(
        {key: theirs[key] for key in theirs.keys() - counted}, abs=atol
    ), name
    # A token whose change is within rounding of the clip range counts on either side of it: one of some hundred tokens.
    assert {key: ours[key] for key in counted} == pytest.approx({key: theirs[key] for key in counted}, abs=0.01), name
    weights, whole = (load_file(folder / "model" / "model.safetensors") for folder in (found, expected))
    assert weights.keys() == whole.keys()
    for key, value in whole.items():
        assert weights[key].shape == value.shape
        assert float((weights[key] - value).abs().max()) < 1e-3, f"{name}: {key}"


@pytest.fixture(scope="module")
def plain(
    forked_jobs: ForkedJobs, makers: dict[str, Make], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Path]:
    """The plain run of a job, made once per setting."""
    made: dict[tuple[Any, ...], Path] = {}

    def find(job: str, **settings: Any) -> Path:
        key = (job, *sorted(settings.items()))
        if key not in made:
            root = tmp_path_factory.mktemp("plain") / job
            made[key] = run(forked_jobs, job, makers[job], root, **settings)
        return made[key]

    return find


@pytest.mark.parametrize(("job", "stage", "processes", "accumulation"), LAYOUTS)
def test_every_layout_gives_the_plain_losses_and_weights(
    job: str,
    stage: int,
    processes: int,
    accumulation: int,
    forked_jobs: ForkedJobs,
    makers: dict[str, Make],
    plain: Callable[..., Path],
    tmp_path: Path,
) -> None:
    expected = plain(job)
    if (stage, processes, accumulation) == (0, 1, 1):
        assert len(measured(expected)) > 3
        return
    layout = {"zero_stage": stage, "processes": processes}
    found = run(forked_jobs, job, makers[job], tmp_path / "run", accumulation, **layout)
    assert_same(found, expected, f"{job} stage {stage}, {processes} processes, accumulation {accumulation}")


@pytest.mark.parametrize("job", ["sft", "rm", "ppo", "grpo", "dpo"])
def test_adapters_and_offload_change_nothing_either(
    job: str, forked_jobs: ForkedJobs, makers: dict[str, Make], plain: Callable[..., Path], tmp_path: Path
) -> None:
    """LoRA sharded by ZeRO-3 on two processes, against plain LoRA; offload of ZeRO-2 and ZeRO-3 against plain."""
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    adapters = run(forked_jobs, job, makers[job], tmp_path / "lora", zero_stage=3, processes=2, lora_rank=2)
    assert_same(adapters, plain(job, lora_rank=2), f"{job} with adapters")
    for stage in (2, 3):
        away = run(forked_jobs, job, makers[job], tmp_path / f"offload{stage}", zero_stage=stage, offload=True)
        assert_same(away, plain(job), f"{job} stage {stage} with offload")
    kind = AutoModelForSequenceClassification if job == "rm" else AutoModelForCausalLM
    model, info = kind.from_pretrained(adapters / "model", output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert not [name for name in model.state_dict() if "lora" in name]


@pytest.mark.parametrize(
    ("job", "sizes", "stage"),
    [
        ("ppo", {"rollouts": 7, "minibatch_size": 5}, 3),
        ("rloo", {"rollouts": 9, "minibatch_size": 5, "samples_per_prompt": 3}, 0),
        ("grpo", {"rollouts": 9, "minibatch_size": 5, "samples_per_prompt": 3}, 2),
    ],
)
def test_uneven_rollouts_are_shared_without_a_trace(
    job: str, sizes: dict[str, int], stage: int, forked_jobs: ForkedJobs, makers: dict[str, Make], tmp_path: Path
) -> None:
    """A short last mini-batch, an odd number of rows on two processes, validation and best model."""
    make = partial(makers[job], validation_share=0.2, **sizes)
    whole = run(forked_jobs, job, make, tmp_path / "plain")
    shared = run(forked_jobs, job, make, tmp_path / "shared", zero_stage=stage, processes=2)
    assert_same(shared, whole, "uneven")
    heads = [load_file(path) for path in sorted(tmp_path.glob("*/out/last_model/value_head.safetensors"))]
    assert len(heads) == (2 if job == "ppo" else 0)
    if heads:
        torch.testing.assert_close(*heads, atol=1e-4, rtol=0)


@pytest.mark.parametrize("job", ["sft", "rm", "ppo"])
def test_gradient_checkpointing_changes_nothing_under_zero_3(
    job: str, forked_jobs: ForkedJobs, makers: dict[str, Make], plain: Callable[..., Path], tmp_path: Path
) -> None:
    layout = {"zero_stage": 3, "processes": 2, "gradient_checkpointing": True}
    found = run(forked_jobs, job, makers[job], tmp_path / "run", **layout)
    assert_same(found, plain(job), f"{job} checkpointed")


@pytest.mark.parametrize("job", ["sft", "rm", "ppo"])
def test_bfloat16_under_zero_3_is_near_and_learns(
    job: str, forked_jobs: ForkedJobs, makers: dict[str, Make], plain: Callable[..., Path], tmp_path: Path
) -> None:
    found = measured(run(forked_jobs, job, makers[job], tmp_path / "run", zero_stage=3, processes=2, bf16=True))
    whole = measured(plain(job))
    assert found.keys() == whole.keys()
    assert all(map(isfinite, found.values()))
    losses = [value for (_, metric), value in sorted(found.items()) if metric == "loss"]
    if job == "ppo":  # a loss in whose place new samples come at every step
        assert found[1, "grad_norm"] > 0.0
        return
    assert losses == pytest.approx(
        [value for (_, metric), value in sorted(whole.items()) if metric == "loss"], abs=0.05
    )
    assert losses[-1] < losses[0]
