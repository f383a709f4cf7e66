"""Write docs/reference/*.md anew, or with `--check` say which of them are out of date (exit code 1)."""

import argparse
import os
import sys
from pathlib import Path

from data_contracts.store.home import PROJECT_ROOT
from deployments.reference.commands import commands_page
from deployments.reference.configuration import configuration_page

FOLDER = PROJECT_ROOT / "docs" / "reference"
PAGES = {"configuration.md": configuration_page, "commands.md": commands_page}


def outdated(folder: Path) -> list[str]:
    """Names of the pages in `folder` that differ from what the code says now."""
    texts = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.md")}
    return [name for name, page in PAGES.items() if texts.get(name) != page()]


def main() -> int:
    """Write the pages or check them; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m deployments.reference", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 if a page is out of date")
    check = parser.parse_args().check
    os.environ.pop("ALMOST_PLACEMENT", None)  # a default that follows the environment is shown without it
    wrong = outdated(FOLDER)
    if check and wrong:
        print(f"docs/reference: {', '.join(wrong)} out of date; write anew: make reference", file=sys.stderr)
        return 1
    for name in wrong:
        FOLDER.mkdir(parents=True, exist_ok=True)
        (FOLDER / name).write_text(PAGES[name](), encoding="utf-8")
        print(f"wrote docs/reference/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
