"""Where the program lies and where its runs and artifacts go: a checkout, or an installed package.

In a checkout everything stays under the checkout, from whatever folder a command is called. An installed package leaves
its own folder (site-packages) alone and uses the folder that the command is called in.
"""

import os
from pathlib import Path

PROJECT_ROOT = Path(__file__).resolve().parents[2]  # holds the five packages: the checkout, or site-packages


def in_checkout() -> bool:
    """Whether the program runs from a checkout of its repository (or an image made of one)."""
    return (PROJECT_ROOT / "pyproject.toml").is_file()


def working_folder() -> Path:
    """The checkout; for an installed package the current folder."""
    return PROJECT_ROOT if in_checkout() else Path.cwd()


def import_settings() -> dict[str, str]:
    """Environment by which a Python process imports this very checkout; none is needed for an installed package."""
    return {"PYTHONPATH": str(PROJECT_ROOT)} if in_checkout() else {}


def home_url(home: str | None = None) -> str:
    """The store's root: the argument, else ALMOST_HOME, else `.almost` in the working folder; local paths absolute."""
    chosen = home or os.environ.get("ALMOST_HOME") or str(working_folder() / ".almost")
    return chosen if "://" in chosen else str(Path(chosen).expanduser().absolute())
