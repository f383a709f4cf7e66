"""The job's side of the spec-and-manifest protocol. `models/processes/launch.py` is the other side.

A job prints progress as one-line JSON events behind `PROGRESS_MARK`; everything else it prints is log.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any, TypeVar, Union

from pydantic import TypeAdapter

from data_contracts.specs.job_spec import MANIFEST_NAME, JobManifest, JobSpec

PROGRESS_MARK = "@progress "
SpecT = TypeVar("SpecT", bound=JobSpec)


def read_spec(*spec_types: type[SpecT]) -> SpecT:
    """Parse `--spec FILE` from the command line into the job's own spec class (launchers add `--local_rank`).

    A job with several spec classes gets the one whose fields the file has.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--spec", type=Path, required=True)
    arguments, _ = parser.parse_known_args()
    one_of: Any = Union[spec_types]  # noqa: UP007 - not known before
    return TypeAdapter[SpecT](one_of).validate_json(arguments.spec.read_bytes())


def is_rank_zero() -> bool:
    """Whether this process is the one that reports and writes."""
    return int(os.environ.get("RANK", "0")) == 0


def report_progress(done: int, total: int, unit: str = "steps", **metrics: float) -> None:
    """Tell the caller how far the job is; `metrics` are shown beside the bar (loss, reward, ...)."""
    if is_rank_zero():
        event = {"done": done, "total": total, "unit": unit, "metrics": {k: float(v) for k, v in metrics.items()}}
        sys.stdout.write(f"{PROGRESS_MARK}{json.dumps(event)}\n")  # one write: ranks share the pipe
        sys.stdout.flush()


def write_manifest(spec: JobSpec, job: str, outputs: dict[str, str], metrics: dict[str, float]) -> None:
    """Write the job's manifest, last and atomically; only rank 0 does."""
    if not is_rank_zero():
        return
    for name, relative in outputs.items():
        if not (spec.output_dir / relative).exists():
            raise FileNotFoundError(f"{job}: output '{name}' was not written at {spec.output_dir / relative}")
    manifest = JobManifest(job=job, spec_digest=spec.digest(), outputs=outputs, metrics=metrics)
    temporary = spec.output_dir / f".{MANIFEST_NAME}.tmp"
    temporary.write_text(manifest.model_dump_json(indent=2))
    temporary.replace(spec.output_dir / MANIFEST_NAME)
