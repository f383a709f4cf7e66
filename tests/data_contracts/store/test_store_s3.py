"""What only an object store with other writers shows: listings are never remembered, and one writer of many wins."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import botocore.session
import pytest

from data_contracts.errors import ConfigError
from data_contracts.store.backends import Backend, open_backend
from data_contracts.store.home import PROJECT_ROOT


@pytest.fixture
def backend(s3_home: str) -> Backend:
    return open_backend(s3_home)


def put_by_another(home: str, name: str, content: bytes) -> None:
    """As a process elsewhere would: past this process's file system."""
    bucket, _, key = f"{home.removeprefix('s3://')}/{name}".partition("/")
    client = botocore.session.get_session().create_client("s3")
    client.put_object(Bucket=bucket, Key=key, Body=content)


def test_what_another_process_wrote_after_a_listing_is_seen(backend: Backend, s3_home: str, tmp_path: Path):
    backend.put_bytes("parts/a", b"a")
    assert backend.list("parts") == ["parts/a"]
    assert backend.folders("") == ["parts"]
    put_by_another(s3_home, "parts/b", b"bb")
    backend.fetch("parts/b", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"bb"
    assert backend.list("parts") == ["parts/a", "parts/b"]
    put_by_another(s3_home, "parts/a", b"longer than it was")
    backend.fetch("parts/a", tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"longer than it was"
    put_by_another(s3_home, "parts/c", b"c")
    backend.delete("parts/c")
    assert backend.read_bytes("parts/c") is None, "it was there, whatever an earlier listing said"
    put_by_another(s3_home, "more/d", b"d")
    assert backend.folders("") == ["more", "parts"]


def test_of_many_writers_one_wins_and_its_bytes_stay(backend: Backend, s3_home: str):
    won: list[int] = []

    def write(number: int) -> None:
        if open_backend(s3_home).put_new("manifest", str(number).encode()):
            won.append(number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert backend.read_bytes("manifest") == str(won[0]).encode()


def test_a_large_object_goes_up_in_parts_and_comes_back_the_same(backend: Backend, tmp_path: Path):
    content = bytes(range(256)) * (24 << 12)  # 24 MiB: above what is sent in one request
    (tmp_path / "up").write_bytes(content)
    backend.put_file(tmp_path / "up", "folder/large")
    backend.fetch("folder/large", tmp_path / "down")
    assert (tmp_path / "down").read_bytes() == content


@pytest.mark.parametrize(
    ("home", "more", "told"),
    [
        ("s3://no-such-bucket/home", {}, "there is no bucket 'no-such-bucket'"),
        (
            "s3://almost-tests/home",
            {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_MAX_ATTEMPTS": "1"},
            "cannot reach the store s3://almost-tests/home: Could not connect",
        ),
    ],
)
def test_a_store_that_cannot_be_reached_is_told_in_one_line(
    home: str, more: dict[str, str], told: str, s3_environment: dict[str, str], tmp_path: Path
):
    command = [sys.executable, "-m", "deployments.cli.command_line", "run", "--profile", "smoke", "--home", home]
    environment = {**os.environ, **s3_environment, **more, "PREFECT_HOME": str(tmp_path / "prefect")}
    done = subprocess.run(command, cwd=PROJECT_ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2, done.stderr[-3000:]
    assert told in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_an_unknown_scheme_is_a_wrong_home():
    with pytest.raises(ConfigError, match="cannot open the store nothing://x"):
        open_backend("nothing://x")
