"""Run the benchmarks named on the command line, or all: `python -m benchmarks [NAME ...]`.

Each prints one line `bench=<name> key=value ...` and writes benchmarks/results/<name>.json (not committed).
"""

import importlib
import json
import sys
from pathlib import Path

from transformers.utils import logging as transformers_logging

FOLDER = Path(__file__).parent


def main(names: list[str]) -> None:
    """Run and report."""
    known = sorted(path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("_"))
    unknown = sorted(set(names) - set(known))
    if unknown:
        sys.exit(f"unknown benchmark {unknown[0]}; known: {', '.join(known)}")
    transformers_logging.disable_progress_bar()
    results = FOLDER / "results"
    results.mkdir(exist_ok=True)
    for name in names or known:
        figures = importlib.import_module(f"benchmarks.{name}").measure()
        (results / f"{name}.json").write_text(json.dumps(figures, indent=1))
        print(f"bench={name} " + " ".join(f"{key}={value}" for key, value in figures.items()), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
