"""Links in the Markdown files outside docs/ (mkdocs checks those inside), and the versions that several files name."""

import re
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from deployments.cli.checks import PYTHONS

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCKS = ("requirements.lock", "requirements-dev.lock")


def anchors_of(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub and mkdocs make them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", sorted(ROOT.glob("*.md")), ids=lambda path: path.name)
def test_links_lead_somewhere(page: Path):
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    for link in [link for link in links if not link.startswith(("http://", "https://"))]:
        name, _, anchor = link.partition("#")
        target = (page.parent / name) if name else page
        assert target.exists(), f"{page.name}: {link}"
        assert not anchor or anchor in anchors_of(target), f"{page.name}: {link}"


def test_the_python_versions_are_the_same_everywhere():
    low, high = re.fullmatch(r">=3\.(\d+),<3\.(\d+)", PROJECT["project"]["requires-python"]).groups()  # type: ignore[union-attr]
    assert tuple((3, minor) for minor in range(int(low), int(high))) == PYTHONS
    assert PROJECT["tool"]["ruff"]["target-version"] == f"py3{low}"
    assert PROJECT["tool"]["pyright"]["pythonVersion"] == f"3.{low}"
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert f"not (3, {low}) <= sys.version_info[:2] <= (3, {int(high) - 1})" in makefile
    assert [line for line in makefile.splitlines() if "for version in" in line] == [
        f"\t@for version in {' '.join(f'3.{minor}' for minor in range(int(low), int(high)))}; do \\"
    ]


def names_in(lock: str) -> list[str]:
    lines = (ROOT / lock).read_text(encoding="utf-8").splitlines()
    return [re.split(r"[=<>\[ ]", line)[0].lower().replace("_", "-") for line in lines if not line.startswith("-r ")]


def test_the_locks_pin_packages_and_name_no_host_or_path():
    for lock in LOCKS:
        text = (ROOT / lock).read_text(encoding="utf-8")
        assert not re.findall(r"://|@|file:|--\w", text)
        for line in text.splitlines():
            assert line == "-r requirements.lock" or re.match(r"[a-z0-9.-]+==[\w.]+(?: ; .*)?$", line), line
        assert all(one <= other for one, other in pairwise(names_in(lock)))
    hosts = set(re.findall(r"https?://([^/\"]+)", (ROOT / "uv.lock").read_text(encoding="utf-8")))
    assert hosts == {"pypi.org", "files.pythonhosted.org"}


def test_every_dependency_is_in_its_lock():
    def needed(requirements: list[str]) -> set[str]:
        return {re.split(r"[=<>\[ ]", line)[0].lower().replace("_", "-") for line in requirements}

    runtime = set(names_in("requirements.lock"))
    assert needed(PROJECT["project"]["dependencies"]) <= runtime
    assert needed(PROJECT["dependency-groups"]["dev"]) <= runtime | set(names_in("requirements-dev.lock"))
    assert not needed(["pytest", "ruff", "pyright", "lm_eval", "moto"]) & runtime


def test_the_citation_names_the_papers_authors():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == PROJECT["project"]["version"]
    [paper] = citation["references"]
    assert [author["family-names"] for author in paper["authors"]] == [
        "Kim",
        "Bae",
        "Shin",
        "Kang",
        "Kwak",
        "Yoo",
        "Seo",
    ]
    assert paper["identifiers"] == [{"type": "other", "value": "arXiv:2305.13735"}]
