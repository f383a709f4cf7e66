"""Where runs and artifacts live: ALMOST_HOME, or `.almost` in the checkout."""

import os
from pathlib import Path

PROJECT_ROOT = Path(__file__).resolve().parents[2]


def home_url(home: str | None = None) -> str:
    """The store's root: the argument, else ALMOST_HOME, else `.almost` in the checkout; local paths absolute."""
    chosen = home or os.environ.get("ALMOST_HOME") or str(PROJECT_ROOT / ".almost")
    return chosen if "://" in chosen else str(Path(chosen).expanduser().absolute())
