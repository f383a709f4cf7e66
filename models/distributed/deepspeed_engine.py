"""Models under DeepSpeed: the one that learns in a training engine, frozen models sharded for reading.

The value head (one number per hidden unit) is not sharded: its gradient flows through the same backward pass, and it is
clipped and updated apart from the policy.

A rank's loss is multiplied by the number of ranks because DeepSpeed averages gradients over them, while PPO adds them up.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from data_contracts.config.training import TrainingSettings
from data_contracts.errors import JobError
from models.distributed.deepspeed_config import on_cpu, zero_config
from models.distributed.ranks import Ranks

TAG = "engine"


def engine_config(training: TrainingSettings, micro_batch: int, hidden: int, max_grad_norm: float) -> dict[str, Any]:
    """The DeepSpeed configuration with every "auto" filled in as transformers would."""
    config = zero_config(training)
    assert config is not None
    zero = config["zero_optimization"]
    if training.zero_stage == 3:
        zero["stage3_param_persistence_threshold"] = 10 * hidden
        zero["stage3_prefetch_bucket_size"] = int(0.9 * hidden * hidden)
        zero["reduce_bucket_size"] = hidden * hidden
    return config | {
        "bf16": {"enabled": training.bf16},
        "gradient_clipping": max_grad_norm,
        "gradient_accumulation_steps": 1,  # the boundary is set by hand: the last mini-batch may be short
        "train_micro_batch_size_per_gpu": micro_batch,
        "train_batch_size": micro_batch * training.processes,
    }


class ZeroEngine:
    """A DeepSpeed engine around a policy's core, or a rung that is pre-trained."""

    def __init__(self, core: nn.Module, optimizer: torch.optim.Optimizer, config: dict[str, Any], ranks: Ranks) -> None:
        import deepspeed

        self.core, self.ranks = core, ranks
        self._engine: Any = deepspeed.initialize(model=core, optimizer=optimizer, config=config)[0]
        self.gradient_scale = float(ranks.world)
        stage = self._engine.zero_optimization_stage()
        if stage != config["zero_optimization"]["stage"]:
            raise JobError(
                f"ZeRO stage {config['zero_optimization']['stage']} was asked for, but DeepSpeed runs {stage}"
            )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._engine(*args, **kwargs)

    def backward(self, loss: Tensor, last: bool) -> None:
        self._engine.set_gradient_accumulation_boundary(last)
        self._engine.backward(loss * self.gradient_scale)

    def step(self, rate: float) -> float:
        for group in self._engine.optimizer.param_groups:
            group["lr"] = rate
        self._engine.step()
        norm = self._engine.get_global_grad_norm()
        return float("nan") if norm is None else float(norm)

    def save(self, folder: Path) -> None:
        self._engine.save_checkpoint(str(folder), tag=TAG)

    def load(self, folder: Path) -> None:
        found, _ = self._engine.load_checkpoint(str(folder), tag=TAG)
        if found is None:
            raise JobError(
                f"DeepSpeed could not read the checkpoint in {folder}; delete it to go on from the one before"
            )

    def weights(self) -> dict[str, Tensor]:
        # A sampling pass ends before the backward pass that DeepSpeed fetches weights ahead for: let go of those.
        self._engine.empty_partition_cache()
        return gathered_state(self.core, self.ranks.is_first)


def gathered_state(module: Any, keep: bool) -> dict[str, Tensor]:
    """The whole state of a module that may be sharded, on the CPU, one weight at a time; empty unless `keep`.

    A tied weight appears under each of its names, as in `state_dict`. All ranks take part.
    """
    import deepspeed

    state: dict[str, Tensor] = {}
    for name, value in module.state_dict(keep_vars=True).items():
        sharded = [value] if hasattr(value, "ds_id") else []
        with deepspeed.zero.GatheredParameters(sharded, enabled=bool(sharded)):
            if keep:
                state[name] = value.detach().cpu().clone()
    return state


def shard_frozen(module: Any, training: TrainingSettings, hidden: int) -> Any:
    """The module with its weights split among the ranks (and kept in CPU memory with `training.offload`).

    Every rank must then run the same passes through it.
    """
    import deepspeed

    config = engine_config(training, 1, hidden, 1.0)
    zero = config["zero_optimization"]
    zero.pop("offload_optimizer", None)
    return deepspeed.initialize(model=module, config=config)[0].module


def announce_zero(training: TrainingSettings, folder: Path) -> Any:
    """Tell transformers, while the returned object lives, to split weights like those in `folder` at loading (stage 3)."""
    if training.zero_stage != 3:
        return None
    from transformers import AutoConfig
    from transformers.integrations.deepspeed import HfDeepSpeedConfig

    hidden = int(AutoConfig.from_pretrained(folder).get_text_config().hidden_size)
    return HfDeepSpeedConfig(engine_config(training, 1, hidden, 1.0))


def compute_device(training: TrainingSettings) -> torch.device:
    """This rank's device."""
    import os

    if on_cpu(training):
        return torch.device("cpu")
    place = int(os.environ.get("LOCAL_RANK", "0"))
    torch.cuda.set_device(place)
    return torch.device("cuda", place)
