"""Where a trainer job leaves its checkpoints, and which of them may be resumed from.

A checkpoint counts only with its marker, which rank 0 writes after every rank has saved its part: a job killed while
saving resumes from the one before. The folder's name carries the spec's digest, so no other spec's state is picked up.
"""

from pathlib import Path

from data_contracts.job_spec import JobSpec

MARKER = "complete"


def checkpoint_folder(spec: JobSpec) -> Path:
    """The folder of this very spec's checkpoints."""
    return spec.work_dir / f"checkpoints-{spec.digest()[:12]}"


def last_complete(folder: Path, prefix: str = "checkpoint-") -> Path | None:
    """The newest complete checkpoint in `folder`, or None."""
    found = [(int(path.parent.name.removeprefix(prefix)), path.parent) for path in folder.glob(f"{prefix}*/{MARKER}")]
    return max(found)[1] if found else None
