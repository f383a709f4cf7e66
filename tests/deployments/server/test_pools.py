"""Base job templates of remote pools: Prefect's own for that type, plus GPU, shared memory, placement and secrets."""

import json
import re
from importlib import resources
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from data_contracts.store.home import PROJECT_ROOT

POOLS = PROJECT_ROOT / "deployments" / "pools"
PACKAGES = {"kubernetes": "prefect-kubernetes", "docker": "prefect-docker", "ecs": "prefect-aws"}
PLACEHOLDER = re.compile(r"\{\{ (\w+) \}\}")
OURS = {
    "kubernetes": {"gpus", "node_selector", "tolerations", "shared_memory", "secret"},
    "docker": {"gpus", "shared_memory"},
    "ecs": {"gpus", "shared_memory_mib", "secrets", "placement_constraints"},
}


def template(kind: str) -> dict[str, Any]:
    return json.loads((POOLS / f"{kind}.json").read_text(encoding="utf-8"))


def published(kind: str) -> dict[str, Any]:
    """The integration's own default template, as Prefect ships it."""
    views = resources.files("prefect.server.api") / "collections_data" / "views" / "aggregate-worker-metadata.json"
    return json.loads(views.read_text(encoding="utf-8"))[PACKAGES[kind]][kind]["default_base_job_configuration"]


def keys(value: Any, path: str = "") -> set[str]:
    if isinstance(value, dict):
        return {p for name, item in value.items() for p in {f"{path}/{name}", *keys(item, f"{path}/{name}")}}
    return {p for item in value for p in keys(item, f"{path}[]")} if isinstance(value, list) else set()


@pytest.mark.parametrize("kind", sorted(PACKAGES))
def test_it_keeps_everything_of_the_integrations_own_template(kind: str):
    ours, theirs = template(kind), published(kind)
    assert keys(ours["job_configuration"]) >= keys(theirs["job_configuration"])
    mine, known = ours["variables"]["properties"], theirs["variables"]["properties"]
    assert set(mine) == set(known) | OURS[kind]
    for name in set(known) - {"image", "env"}:
        assert mine[name] | {"default": None} == known[name] | {"default": None}


@pytest.mark.parametrize("kind", sorted(PACKAGES))
def test_every_placeholder_has_a_variable_with_a_valid_default(kind: str):
    found = template(kind)
    variables = found["variables"]["properties"]
    used = set(PLACEHOLDER.findall(json.dumps(found["job_configuration"])))
    assert used == set(variables) - ({"vpc_id"} - used)
    Draft202012Validator.check_schema(found["variables"])
    definitions = {"definitions": found["variables"].get("definitions", {})}
    for name, schema in variables.items():
        if schema.get("default") is not None:
            Draft202012Validator(schema | definitions).validate(schema["default"])
        assert schema["title"] or name


@pytest.mark.parametrize("kind", sorted(PACKAGES))
def test_a_job_has_a_gpu_shared_memory_and_survives_its_worker(kind: str):
    found = template(kind)
    variables, text = found["variables"]["properties"], json.dumps(found["job_configuration"])
    assert int(variables["gpus"]["default"]) == 1
    assert "shared_memory" in text
    assert variables["stream_output"]["default"] is False
    assert "ALMOST_HOME" in variables["env"]["default"]
    assert not re.search(r"(?i)(password|secret_access_key|token)\"\s*:", text), "secrets come from outside"
