"""A home in a bucket: killed on the way, started again, it holds the bytes that a folder holds."""

import json
import re
import signal
from pathlib import Path

import fsspec
import pytest

from tests.flows.command import MINI, Command, digests, manifests, until

pytestmark = [pytest.mark.flow, pytest.mark.slow]

START_LIMIT_S = 180


def digests_in_bucket(url: str) -> dict[str, str]:
    """Content digest of every artifact, by its folder in the store."""
    fs, root = fsspec.core.url_to_fs(url, use_listings_cache=False)
    found = {}
    for path in fs.find(root):
        parts = path.removeprefix(f"{root}/").split("/")
        if len(parts) == 3 and "@" in parts[0] and parts[2] == "manifest.json":
            found["/".join(parts[:2])] = json.loads(fs.cat_file(path))["digest"]
    return found


def test_a_run_in_a_bucket_survives_a_kill_and_makes_what_a_folder_has(
    almost: Command, finished: Path, s3_home: str, s3_environment: dict[str, str], tmp_path: Path
) -> None:
    log, environment = tmp_path / "killed.log", s3_environment | {"ALMOST_SCRATCH": str(tmp_path / "scratch")}
    arguments = ("run", "--profile", str(MINI), "--home", s3_home, "--until", "reward_model")
    first = almost.start(*arguments, log=log, environment=environment)
    try:
        until(
            lambda: "sample_responses-A: 24 responses" in log.read_text() or first.poll() is not None,
            START_LIMIT_S,
            "answers",
        )
    finally:
        first.send_signal(signal.SIGKILL)
        first.wait()
    assert first.returncode == -signal.SIGKILL, log.read_text()
    before = digests_in_bucket(s3_home)
    assert any(folder.startswith("responses@") for folder in before)
    assert not any(folder.startswith("comparisons@") for folder in before)

    done = almost.run(*arguments, environment=environment)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("(cached)") >= 5, "world, ladder and queries are found"
    assert f"{s3_home}/runs/" in done.stdout
    assert re.search(r"train_reward_model: \d+ training log, [1-9]\d* reward scores", done.stdout)
    assert not manifests(tmp_path), "nothing is kept here"
    after = digests_in_bucket(s3_home)
    assert after.items() >= before.items(), "nothing was written anew"
    whole = digests(finished)
    assert after == {folder: whole[folder] for folder in after}
    assert any(folder.startswith("reward_scores@") for folder in after)
    until(lambda: not almost.left_behind(), 30, "the killed run's API server to end")
