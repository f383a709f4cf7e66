"""The wheel: it holds every file of the five packages and nothing else, and works from an empty folder."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from data_contracts.store.home import PROJECT_ROOT

PACKAGES = ("data_contracts", "models", "tasks", "flows", "deployments")
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "prefect.yaml", "requirements.lock")
BUILD = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, built in a copy of it without a network."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        shutil.copy(PROJECT_ROOT / name, source)
    for package in PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(PROJECT_ROOT / package, source / package, symlinks=True, ignore=ignored)
    done = subprocess.run([sys.executable, "-c", BUILD, str(built)], cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    [path] = built.glob("almost-*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that is to this Python what site-packages is, with the wheel's content."""
    site = tmp_path_factory.mktemp("site")
    zipfile.ZipFile(wheel).extractall(site)
    return site


def test_the_wheel_has_every_file_of_the_packages_and_nothing_else(wheel: Path):
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    ours = [path for package in PACKAGES for path in (PROJECT_ROOT / package).rglob("*") if path.is_file()]
    assert packed == {p.relative_to(PROJECT_ROOT).as_posix() for p in ours if "__pycache__" not in p.parts}


def test_the_files_of_the_root_that_the_program_reads_are_copied(installed: Path):
    for packed, original in (("server/prefect.yaml", "prefect.yaml"), ("cli/requirements.lock", "requirements.lock")):
        content = installed / "deployments" / packed
        assert not content.is_symlink()
        assert content.read_bytes() == (PROJECT_ROOT / original).read_bytes()


def almost(installed: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`almost ...` of the installed wheel, called in `folder`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ALMOST_", "PREFECT_"))}
    command = [sys.executable, "-P", "-c", "from deployments.cli.command_line import main; main()", *arguments]
    settings = {"PYTHONPATH": str(installed), "PREFECT_HOME": str(folder.parent / "prefect"), "HF_HUB_OFFLINE": "1"}
    return subprocess.run(command, cwd=folder, env=kept | settings, capture_output=True, text=True, timeout=120)


def files_of(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if "__pycache__" not in path.parts}


@pytest.mark.slow
def test_commands_work_in_an_empty_folder_and_leave_the_package_alone(installed: Path, tmp_path: Path):
    empty = tmp_path / "empty"
    empty.mkdir()
    before = files_of(installed)
    for arguments, expected in (
        (("--help",), "evaluate"),
        (("plan", "--profile", "smoke"), "optimize_policy"),
        (("doctor",), "everything necessary works"),
    ):
        done = almost(installed, empty, *arguments)
        assert done.returncode == 0, done.stderr
        assert expected in " ".join(done.stdout.split())
    assert {path.name for path in empty.iterdir()} == {".almost"}
    assert files_of(installed) == before
