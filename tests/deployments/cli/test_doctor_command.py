"""`almost doctor`: findings become a table and an exit code; nothing makes it hang or raise."""

import socket
import time
from pathlib import Path

import pytest

from data_contracts.store.backends import LocalBackend
from deployments.cli import checks
from deployments.cli.checks import Finding, Status
from deployments.cli.doctor_command import examine, run_checks


def only(monkeypatch: pytest.MonkeyPatch, **chosen: Finding) -> None:
    monkeypatch.setattr(
        "deployments.cli.doctor_command.CHECKS", {name: lambda _h, f=f: f for name, f in chosen.items()}
    )


def test_notes_are_no_failure(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    only(monkeypatch, alpha=Finding(Status.OK, "fine"), beta=Finding(Status.NOTE, "meh", "maybe do this"))
    assert examine("/h") == 0
    shown = capsys.readouterr().out
    assert "maybe do this" in shown
    assert "everything necessary works" in shown


def test_broken_check_gives_1_and_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    only(monkeypatch, alpha=Finding(Status.OK, "fine"), beta=Finding(Status.BROKEN, "gone", "bring it back"))
    assert examine("/h") == 1
    assert capsys.readouterr().out.splitlines()[-1] == "broken: beta"


def test_a_check_that_raises_or_hangs_is_a_finding():
    def raises(_home: str) -> Finding:
        raise OSError("no such device")

    def hangs(_home: str) -> Finding:
        time.sleep(60)
        return Finding(Status.OK, "")

    started = time.monotonic()
    findings = run_checks({"raises": raises, "hangs": hangs}, "/h", limit_s=0.2)
    assert time.monotonic() - started < 5
    assert findings["raises"].status is Status.BROKEN
    assert "no such device" in findings["raises"].found
    assert findings["hangs"].status is Status.BROKEN
    assert "no answer within" in findings["hangs"].found


def test_store_on_a_folder_and_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ALMOST_SCRATCH", str(tmp_path))
    for home in (str(tmp_path / "home"), "memory://doctor"):
        assert checks.check_store(home).status is Status.OK
    assert not list((tmp_path / "home" / "scratch").glob("doctor-*"))


def test_store_that_lets_a_second_writer_win_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def put_anyway(self: LocalBackend, name: str, content: bytes) -> bool:
        self.put_bytes(name, content)
        return True

    monkeypatch.setattr(LocalBackend, "put_new", put_anyway)
    assert checks.check_store(str(tmp_path)).status is Status.BROKEN


def test_packages_against_a_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    lock = tmp_path / "requirements.lock"
    monkeypatch.setattr(checks, "LOCK", lock)
    lock.write_text("# comment\npyarrow==0.0.1\nno-such-package==1.0 ; python_version < '3.0'\n")
    different = checks.check_packages("")
    assert different.status is Status.NOTE
    assert "(locked 0.0.1)" in different.found
    lock.write_text("no-such-package-anywhere==1.0\n")
    missing = checks.check_packages("")
    assert missing.status is Status.BROKEN
    assert "no-such-package-anywhere" in missing.found
    lock.unlink()
    assert checks.check_packages("").status is Status.NOTE


def test_unreachable_hub_is_a_note_and_offline_is_fine(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{closed.getsockname()[1]}")
        finding = checks.check_hub("")
    assert finding.status is Status.NOTE
    assert "local folders" in finding.advice
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert checks.check_hub("").status is Status.OK


def test_project_profiles_and_prompts_are_fine():
    assert checks.check_profiles("").status is Status.OK
    assert checks.check_prompts("").found.startswith("14 hhh, 3 faithful")


def test_broken_profile_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(checks, "profile_names", lambda: ["no-such-profile"])
    finding = checks.check_profiles("")
    assert finding.status is Status.BROKEN
    assert "no-such-profile" in finding.found


def test_machine_with_too_little_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    assert "cores" in checks.check_machine(str(tmp_path / "not" / "there")).found
    monkeypatch.setattr(checks, "LEAST_DISK_GIB", 1e9)
    finding = checks.check_machine(str(tmp_path))
    assert finding.status is Status.BROKEN
    assert "ALMOST_HOME" in finding.advice
