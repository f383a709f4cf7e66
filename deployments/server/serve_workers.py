"""Which workers `almost serve` starts: one for the CPU pool, and one for the GPU pool per group of GPUs."""

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from data_contracts.errors import ConfigError

CPU_POOL, GPU_POOL = "almost-cpu", "almost-gpu"


@dataclass(frozen=True)
class WorkerPlan:
    """A worker: its pool, the GPUs its runs see (None: all there are), and how many runs it may have at once."""

    name: str
    pool: str
    gpus: tuple[str, ...] | None = None
    limit: int | None = None

    def arguments(self) -> list[str]:
        """Of `prefect worker start`."""
        limit = [] if self.limit is None else ["--limit", str(self.limit)]
        return ["worker", "start", "--pool", self.pool, "--type", "process", *limit]

    def environment(self) -> dict[str, str]:
        """What its runs see beside the rest."""
        return {} if self.gpus is None else {"CUDA_VISIBLE_DEVICES": ",".join(self.gpus)}


def plan_workers(gpus_per_job: int | None, gpus: Sequence[str]) -> list[WorkerPlan]:
    """One GPU worker that has them all, or one per `gpus_per_job` of them.

    Raises:
        ConfigError: the machine's GPUs do not divide into such groups.
    """
    workers = [WorkerPlan(CPU_POOL, CPU_POOL)]
    if gpus_per_job is None:
        return [*workers, WorkerPlan(GPU_POOL, GPU_POOL)]
    if not gpus or len(gpus) % gpus_per_job:
        raise ConfigError(
            f"--gpus-per-job {gpus_per_job} does not divide the {len(gpus)} GPUs of this machine; choose another number, "
            "or name the GPUs to use in CUDA_VISIBLE_DEVICES"
        )
    groups = [tuple(gpus[start : start + gpus_per_job]) for start in range(0, len(gpus), gpus_per_job)]
    return [*workers, *(WorkerPlan(f"{GPU_POOL}-{'-'.join(own)}", GPU_POOL, own, limit=1) for own in groups)]


def visible_gpus() -> list[str]:
    """The GPUs of this machine, as CUDA_VISIBLE_DEVICES or the driver names them."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [device.strip() for device in chosen.split(",") if device.strip()]
    try:
        listed = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return []
    return [str(number) for number in range(len(listed.splitlines()))]
