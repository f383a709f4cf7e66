"""Where a trainer job leaves its checkpoints, and which of them may be resumed from.

A checkpoint counts only with its marker, which rank 0 writes after every rank has saved its part: a job killed while
saving resumes from the one before. The folder's name carries the spec's digest, so no other spec's state is picked up;
`origin.json` says which weights the run started from and how checkpoints are written, because neither is in the spec.
"""

import json
import shutil
from pathlib import Path

from data_contracts.errors import ContractError
from data_contracts.specs.job_spec import JobSpec

MARKER, ORIGIN = "complete", "origin.json"
CHECKPOINT_VERSION = 3  # raise it when a checkpoint's files change their meaning


def checkpoint_folder(spec: JobSpec) -> Path:
    """The folder of this very spec's checkpoints."""
    return spec.work_dir / f"checkpoints-{spec.digest()[:12]}"


def claim_checkpoints(folder: Path, models: dict[str, str]) -> None:
    """Note what the checkpoints in `folder` belong to, or check that they belong to this run; rank 0 only.

    `models` maps a model's role to the digest of its weights.

    Raises:
        ContractError: they are those of another model, or of another version of this program.
    """
    origin = {"checkpoint_version": CHECKPOINT_VERSION, "models": models}
    path = folder / ORIGIN
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(origin, indent=1))
        return
    try:
        found = json.loads(path.read_text())
    except ValueError:
        found = {}
    if found.get("checkpoint_version") != CHECKPOINT_VERSION:
        raise ContractError(
            f"{folder}: its checkpoints have version {found.get('checkpoint_version')}, this program writes "
            f"{CHECKPOINT_VERSION}; delete the folder to train anew"
        )
    changed = sorted(role for role in models if found.get("models", {}).get(role) != models[role])
    if changed:
        raise ContractError(
            f"{folder}: its checkpoints belong to a run from another {' and another '.join(changed)} under the same path; "
            "delete the folder to train anew, or put the old weights back"
        )


def last_complete(folder: Path, prefix: str = "checkpoint-") -> Path | None:
    """The newest complete checkpoint in `folder`, or None."""
    found = [(int(path.parent.name.removeprefix(prefix)), path.parent) for path in folder.glob(f"{prefix}*/{MARKER}")]
    return max(found)[1] if found else None


def forget_old(folder: Path, keep: int, prefix: str = "checkpoint-") -> None:
    """Remove all checkpoints but the newest `keep` complete ones, and what a killed job left half written; rank 0 only."""
    steps = {path: int(path.name.removeprefix(prefix)) for path in folder.glob(f"{prefix}*")}
    complete = sorted((path for path in steps if (path / MARKER).is_file()), key=steps.__getitem__)
    for path in steps.keys() - set(complete[-keep:]):
        shutil.rmtree(path)
