"""A flow run's long steps show how far they are, and the time left, among its artifacts in Prefect."""

import json
import subprocess
import sys

import pytest

from tests.flows.command import ROOT, Command

pytestmark = pytest.mark.flow

SCRIPT = """
import json
from prefect import flow, get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.runtime import flow_run
from tasks.runtime import progress_artifact
from tasks.runtime.context import ProgressReporter, RunningStep, within
from tasks.runtime.run_log import run_observers

progress_artifact.FIRST_AFTER_S = 0.0
progress_artifact.EVERY_S = 0.0

@flow
def run():
    slow = RunningStep("sample_responses", "sample_responses-A", "key")
    quick = RunningStep("quick", "quick", "key")
    with run_observers() as observers, within(observers=observers):
        with within(step=slow):
            reporter = ProgressReporter(8, "shards")
            for done in (1, 2, 4):
                reporter.update(done, acceptance=0.5)
        with within(step=quick):
            ProgressReporter(3, "rows").update(3)
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(
            artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[flow_run.id]))
        )
    print("FOUND", json.dumps([[a.key, a.type, a.data, a.description] for a in found]))

run()
"""


def test_a_step_under_way_is_an_artifact_of_the_run(almost: Command):
    environment = almost.environment | {"PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stdout.splitlines() if line.startswith("FOUND"))
    [[key, kind, data, description]] = json.loads(line.removeprefix("FOUND"))
    assert (key, kind, data) == ("progress-sample-responses-a", "progress", 50.0)
    assert description.startswith("sample_responses-A: 4/8 shards, ")
    assert "s left" in description
