"""prefect.yaml: one deployment per heavy step on the GPU pool, the whole paper on the CPU pool, no machine's path."""

import re
from importlib import import_module
from typing import Any

import pytest
import yaml

from data_contracts.store.home import PROJECT_ROOT
from deployments.server.automations import HEARTBEAT_S, ZOMBIE_S, zombie_automation
from flows.almost import almost
from flows.running.pool import GPU_DEPLOYMENT, deployment_of
from tasks.runtime.registry import heavy_steps

TEXT = (PROJECT_ROOT / "prefect.yaml").read_text(encoding="utf-8")
FILE: dict[str, Any] = yaml.safe_load(TEXT)
DEPLOYMENTS: list[dict[str, Any]] = FILE["deployments"]


def flow_of(deployment: dict[str, Any]) -> Any:
    module, _, name = deployment["entrypoint"].rpartition(".")
    return getattr(import_module(module), name)


def test_every_heavy_step_has_exactly_one_gpu_deployment():
    gpu = [d for d in DEPLOYMENTS if d["name"] == GPU_DEPLOYMENT]
    deployed = {d["entrypoint"]: f"{flow_of(d).name}/{d['name']}" for d in gpu}
    steps = heavy_steps()
    assert deployed == {f"flows.running.heavy_steps.{name}": deployment_of(step) for name, step in steps.items()}
    assert len(gpu) == len(deployed) == len(steps) == 15
    assert {d["work_pool"]["name"] for d in gpu} == {"almost-gpu"}


def test_nothing_but_heavy_steps_and_whole_flows_is_deployed():
    assert {d["name"] for d in DEPLOYMENTS} == {GPU_DEPLOYMENT, "full", "regenerate", "train", "models"}


def test_a_step_that_is_not_heavy_has_no_entrypoint():
    with pytest.raises(AttributeError, match="rank_comparisons is no heavy step; they are "):
        _ = import_module("flows.running.heavy_steps").rank_comparisons


def test_the_paper_runs_on_the_cpu_pool_and_sends_heavy_steps_to_the_other():
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
