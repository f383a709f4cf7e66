"""The same spec gives the same losses plain, under DDP, and under ZeRO-2 and ZeRO-3 on two processes."""

from pathlib import Path

import pytest
from safetensors.torch import load_file

from data_contracts.job_spec import TrainingSettings
from data_contracts.training_log import TrainingLog
from models.launch import run_job
from tests.models.jobs.training_inputs import finetune_spec, reward_spec

LAYOUTS = [(0, 2, False), (2, 2, False), (3, 2, False), (3, 1, True)]  # stage, processes, offload


def run(make, module: str, root: Path, model: Path, stage: int, processes: int, offload: bool) -> Path:
    """Run a job in one layout and return its output folder."""
    settings = TrainingSettings(
        use_cpu=True, zero_stage=stage, processes=processes, offload=offload, save_every=100, timeout_s=300
    )
    spec = make(root, model, rows=13, training=settings)
    run_job(module, spec, settings)
    return spec.output_dir


def losses(folder: Path) -> list[float]:
    """The logged losses, in order of steps."""
    table = TrainingLog.read_parts([folder / "training_log.parquet"]).to_pylist()
    return [row["value"] for row in sorted(table, key=lambda row: row["step"]) if row["metric"] == "loss"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "module"),
    [
        (finetune_spec, "models.jobs.finetune_policy"),
        (reward_spec, "models.jobs.train_reward_model"),
    ],
    ids=["sft", "rm"],
)
def test_losses_and_weights_agree(make, module: str, tiny_llama_dir: Path, tmp_path: Path) -> None:
    plain = run(make, module, tmp_path / "plain", tiny_llama_dir, 0, 1, False)
    expected, weights = losses(plain), load_file(plain / "model" / "model.safetensors")
    assert len(expected) == 4
    for stage, processes, offload in LAYOUTS:
        name = f"zero{stage}-{processes}-{offload}"
        folder = run(make, module, tmp_path / name, tiny_llama_dir, stage, processes, offload)
        assert losses(folder) == pytest.approx(expected, abs=1e-4), name
        found = load_file(folder / "model" / "model.safetensors")
        assert found.keys() == weights.keys()
        for key, value in weights.items():
            assert found[key].shape == value.shape
            assert float((found[key] - value).abs().max()) < 1e-3, f"{name}: {key}"
