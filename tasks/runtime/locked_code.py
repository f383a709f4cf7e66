"""step_lock.json: which code each step had when somebody last looked at it (see `step_lock`)."""

import json
from functools import cache
from pathlib import Path
from typing import Any

LOCK_FILE = Path(__file__).with_name("step_lock.json")


def locked_digest(step: str) -> str:
    """The digest recorded for a step; 'unlocked' for one that is not in the lock file (tests, own steps)."""
    return _kept_lock().get(step, {}).get("source", "unlocked")


def read_lock() -> dict[str, Any]:
    """The lock as it is on disk."""
    return json.loads(LOCK_FILE.read_text()) if LOCK_FILE.exists() else {}


def write_lock(lock: dict[str, Any]) -> None:
    """Replace the lock."""
    LOCK_FILE.write_text(json.dumps(lock, indent=1, sort_keys=True) + "\n")
    _kept_lock.cache_clear()


@cache
def _kept_lock() -> dict[str, Any]:
    return read_lock()
