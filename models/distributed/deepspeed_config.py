"""DeepSpeed ZeRO from our own settings: the configuration, the process group, and the proof that it is on.

The same spec runs plain or under ZeRO-1/2/3 on any number of processes. On CPU the ranks talk through gloo, and the
shared-memory operator is never built: it needs a compiler and a minute, and its results are gloo's.
"""

import os
import socket
from typing import Any

from data_contracts.config.training import TrainingSettings
from data_contracts.errors import ConfigError, JobError


def on_cpu(training: TrainingSettings) -> bool:
    """Whether this job computes on the CPU: as set, else when there is no GPU."""
    if training.use_cpu is not None:
        return training.use_cpu
    import torch

    return not torch.cuda.is_available()


def zero_config(training: TrainingSettings) -> dict[str, Any] | None:
    """The DeepSpeed configuration of `training`, None without ZeRO; "auto" takes the trainer's value."""
    stage = training.zero_stage
    if stage == 0:
        return None
    zero: dict[str, Any] = {"stage": stage, "contiguous_gradients": True, "overlap_comm": not on_cpu(training)}
    if training.offload:
        zero["offload_optimizer"] = {"device": "cpu", "pin_memory": False}
        if stage == 3:
            zero["offload_param"] = {"device": "cpu", "pin_memory": False}
    if stage == 3:
        zero["stage3_gather_16bit_weights_on_model_save"] = True
        zero["stage3_param_persistence_threshold"] = "auto"
        zero["stage3_prefetch_bucket_size"] = "auto"
        zero["reduce_bucket_size"] = "auto"
    return {
        "zero_optimization": zero,
        "bf16": {"enabled": "auto"},
        "gradient_clipping": "auto",
        "gradient_accumulation_steps": "auto",
        "train_batch_size": "auto",
        "train_micro_batch_size_per_gpu": "auto",
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "wall_clock_breakdown": False,
        "steps_per_print": 2**31 - 1,
    }


def prepare_distributed(training: TrainingSettings, process_group: bool = False) -> None:
    """Set up what must stand before a trainer's arguments are built: device choice, rendezvous, process group.

    Without ZeRO a trainer makes the group of several processes itself; `process_group` is for a job that has none.

    Raises:
        ConfigError: the number of ranks is not the one that batches are cut for.
    """
    ranks = int(os.environ.get("WORLD_SIZE", "1"))
    if ranks != training.processes:
        raise ConfigError(f"training.processes is {training.processes}, but the job was started on {ranks} ranks")
    cpu = on_cpu(training)
    os.environ.pop("ACCELERATE_USE_CPU", None)  # it would turn DeepSpeed off without a word
    if cpu:
        os.environ["DS_ACCELERATOR"] = "cpu"
    if training.zero_stage == 0:
        if process_group and ranks > 1:
            import torch.distributed as dist

            dist.init_process_group("gloo" if cpu else "nccl")
        return
    if "RANK" not in os.environ:
        alone = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1"}
        os.environ.update(alone | {"MASTER_PORT": str(_free_port())})
    import deepspeed

    if cpu:
        import deepspeed.ops

        # Internal, hence the pinned version: says that the operator cannot be built, so that gloo is used.
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    deepspeed.init_distributed(dist_backend="gloo" if cpu else "nccl", auto_mpi_discovery=False, verbose=False)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def assert_zero_active(trainer: Any, training: TrainingSettings) -> None:
    """Raise JobError unless the trainer really runs under the asked ZeRO stage."""
    engine = getattr(trainer, "deepspeed", None)
    stage = engine.zero_optimization_stage() if engine is not None else 0
    if stage != training.zero_stage:
        raise JobError(f"ZeRO stage {training.zero_stage} was asked for, but the trainer runs stage {stage}")
