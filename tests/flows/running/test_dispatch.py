"""Dispatch to a pool where something is missing: the step's deployment, or a worker; with a real API, without workers."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.flows.command import ROOT, Command

pytestmark = pytest.mark.flow

SCRIPT = """
import json, sys, time
from prefect import flow, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from data_contracts.config.engine import EngineConfig
from data_contracts.config.placement import Placement
from data_contracts.errors import AlmostError
from data_contracts.folder_contracts import RewardCheckpoint
from data_contracts.store.artifact import Artifact
from data_contracts.store.artifact_store import Store
from data_contracts.tables.comparisons import Comparison
from flows.running import heavy_steps
from flows.running.pool import run_on_pool
from tasks.feedback.judge_by_as_is import judge_by_as_is
from tasks.runtime.context import within

def missing(store, contract):
    name = contract.contract_id()
    return store.stored(contract, Artifact(contract=name, path=f"{name}/none", digest="0" * 64, rows=1))

@flow(name="caller", log_prints=False)
def caller():
    told = []
    placement = Placement(heavy="pool", dispatch_timeout_s=2)
    store = Store(sys.argv[1])
    comparisons, model = missing(store, Comparison), missing(store, RewardCheckpoint)
    with (
        within(store=store, placement=placement, dispatch=run_on_pool),
        get_client(sync_client=True) as client,
    ):
        for ready in (False, True):
            if ready:
                client.create_work_pool(WorkPoolCreate(name="idle", type="process"))
                client.create_deployment(client.create_flow(heavy_steps.judge_by_as_is), "gpu", work_pool_name="idle")
            started = time.monotonic()
            try:
                judge_by_as_is(comparisons=comparisons, as_is=model, engine=EngineConfig())
            except AlmostError as error:
                told.append([type(error).__name__, str(error), time.monotonic() - started])
        runs = client.read_flow_runs()
    told.append([[run.state.type.value for run in runs if run.deployment_id]])
    print("TOLD", json.dumps(told))

caller()
"""


def test_a_missing_deployment_and_a_pool_without_workers(almost: Command, tmp_path: Path):
    environment = almost.environment | {"PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "home")], cwd=ROOT, env=environment, capture_output=True,
        text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stdout.splitlines() if line.startswith("TOLD"))
    undeployed, unserved, [states] = json.loads(line.removeprefix("TOLD"))
    assert undeployed[0] == "ConfigError"
    assert "there is no deployment judge-by-as-is/gpu; deploy the project" in undeployed[1]
    check_unserved(*unserved)
    assert states == ["CANCELLED"], "nobody must compute it once its caller has given up"


def check_unserved(kind: str, message: str, seconds: float, *_: Any) -> None:
    assert kind == "TransientJobError"
    assert "pool idle had no worker online for 2 s" in message
    assert "prefect worker start --pool idle" in message
    assert 2 <= seconds < 60
