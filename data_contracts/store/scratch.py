"""Local folders beside the store: where jobs keep their checkpoints."""

from pathlib import Path


def job_folder(scratch: Path, key: str, fence: int = 0) -> Path:
    """The local folder of a job, the same for the same key, so that a rerun resumes from its checkpoints.

    Whoever superseded a silent holder (`fence` counts how often that happened) finds the folder moved to a name of its
    own: should the other be alive after all, its job writes to paths that are no longer there.
    """
    names = [key, *(f"{key}~{number}" for number in range(1, fence + 1))]
    *earlier, folder = [scratch / "jobs" / name for name in names]
    if not folder.exists():
        for old in reversed(earlier):
            if old.exists():
                old.replace(folder)
                break
    folder.mkdir(parents=True, exist_ok=True)
    return folder
