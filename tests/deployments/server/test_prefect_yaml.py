"""prefect.yaml: one deployment per heavy stage on the GPU pool, the whole paper on the CPU pool, no machine's path."""

import re
from importlib import import_module
from typing import Any

import pytest
import yaml

from data_contracts.store.home import PROJECT_ROOT
from deployments.server.automations import HEARTBEAT_S, ZOMBIE_S, zombie_automation
from flows.almost import almost
from flows.running.run_stage import GPU_DEPLOYMENT, Stage

TEXT = (PROJECT_ROOT / "prefect.yaml").read_text(encoding="utf-8")
FILE: dict[str, Any] = yaml.safe_load(TEXT)
DEPLOYMENTS: list[dict[str, Any]] = FILE["deployments"]


def flow_of(deployment: dict[str, Any]) -> Any:
    module, _, name = deployment["entrypoint"].rpartition(".")
    return getattr(import_module(module), name)


def test_every_heavy_stage_has_its_gpu_deployment():
    stages = {value.name for value in vars(import_module("flows.running.stages")).values() if isinstance(value, Stage)}
    assert {flow_of(d).name for d in DEPLOYMENTS if d["name"] == GPU_DEPLOYMENT} == stages
    assert len(stages) == 15


def test_the_paper_runs_on_the_cpu_pool_and_sends_heavy_stages_to_the_other():
    [full] = [d for d in DEPLOYMENTS if d["name"] == "full"]
    assert flow_of(full) is almost
    assert full["work_pool"]["name"] == "almost-cpu"
    assert full["work_pool"]["job_variables"]["env"]["ALMOST_PLACEMENT"] == "pool"
    assert "parameters" not in full  # a form left untouched runs exactly the profile's file


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda d: d["entrypoint"])
def test_each_survives_its_worker_and_checks_its_parameters(deployment: dict[str, Any]):
    variables = deployment["work_pool"]["job_variables"]
    assert variables["stream_output"] is False
    assert variables["env"]["PREFECT_LOGGING_LEVEL"] == "INFO"
    assert ("ALMOST_PLACEMENT" in variables["env"]) == (deployment["work_pool"]["name"] == "almost-cpu")
    assert deployment["enforce_parameter_schema"] is True
    assert deployment["description"].strip()
    assert deployment["version"]


def test_runs_that_collide_wait_for_each_other():
    limits = {d["name"]: d["concurrency_limit"] for d in DEPLOYMENTS if d["work_pool"]["name"] == "almost-cpu"}
    assert {name: limit["limit"] for name, limit in limits.items()} == {"full": 4, "regenerate": 1, "train": 1}
    assert {limit["collision_strategy"] for limit in limits.values()} == {"ENQUEUE"}


def test_heartbeats_come_often_enough_for_the_automation_that_misses_them():
    frequency = FILE["definitions"]["environment"]["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"]
    assert int(frequency) == HEARTBEAT_S
    assert ZOMBIE_S >= 3 * HEARTBEAT_S
    trigger: Any = zombie_automation().trigger
    assert trigger.within.total_seconds() == ZOMBIE_S
    assert trigger.after < trigger.expect


def test_no_path_of_a_machine():
    [step] = FILE["pull"]
    assert step == {"deployments.server.checkout.use_own_checkout": {}}
    assert not re.findall(r"(?:^|[\s\"'])/(?:home|work|root|Users|tmp)\b", TEXT)
