"""The digests in step_lock.json: which code each step had when it was last looked at (see `step_lock`)."""

import json
from functools import cache
from pathlib import Path
from typing import Any

LOCK_FILE = Path(__file__).with_name("step_lock.json")


def locked_digest(step: str) -> str:
    """The digest recorded for a step; 'unlocked' for one that is not in the lock file (tests, own steps)."""
    return _read_lock().get(step, {}).get("source", "unlocked")


@cache
def _read_lock() -> dict[str, Any]:
    return json.loads(LOCK_FILE.read_text()) if LOCK_FILE.exists() else {}
