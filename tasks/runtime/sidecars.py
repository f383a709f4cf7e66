"""What lies beside a step's outputs: how they were made (in the manifest), times and counters, and what jobs printed."""

from importlib.metadata import version as installed_version
from typing import Any

from pydantic import BaseModel

from data_contracts.handles import FileHandle, ModelHandle, PromptHandle
from data_contracts.store.artifact import Artifact
from data_contracts.store.artifact_store import Store
from data_contracts.store.keys import identity
from data_contracts.store.manifest import Cost, Parent, Provenance
from data_contracts.store.stored import Stored
from models.processes.launch import LOG_NAME
from tasks.runtime.context import RunningStep
from tasks.runtime.locked_code import locked_digest

HANDLES = (Stored, ModelHandle, PromptHandle)
TOOLS = ("torch", "transformers", "trl", "deepspeed", "pyarrow", "tokenizers", "rapidfuzz", "rouge_score")


def provenance_of(step: str, version: str, arguments: dict[str, Any]) -> Provenance:
    """How a step's outputs are made, as far as it follows from the inputs."""
    config, parents = config_and_parents(arguments)
    return Provenance(
        step=step,
        step_version=version,
        code=locked_digest(step),
        parents=tuple(parents),
        config=config,
        versions={tool: installed_version(tool) for tool in TOOLS},
    )


def write_sidecars(
    store: Store, running: RunningStep, artifacts: list[Artifact], started_at: str, wall_s: float
) -> None:
    """Write times, counters and the jobs' logs beside a finished step's outputs, and remove its job folders."""
    cost = Cost(
        started_at=started_at,
        startup_s=min(running.startup_s, wall_s),
        working_s=max(wall_s - running.startup_s, 0.0),
        counters=running.counters,
    )
    for artifact in artifacts:
        store.write_cost(artifact, cost)
    for folder in running.job_folders:
        printed = folder / "work" / LOG_NAME
        if printed.is_file():
            name = folder.name.partition("~")[0].removeprefix(f"{running.key}-")
            store.backend.put_file(printed, f"{artifacts[0].path}/{name}.log")
    running.clean_up()


def config_and_parents(arguments: dict[str, Any]) -> tuple[dict[str, Any], list[Parent]]:
    """The configuration among a step's arguments as plain data, and its parents."""
    config, parents = {}, []
    for name, value in arguments.items():
        handles = _handles(value)
        if handles:
            parents += [_parent(name, handle) for handle in handles]
        else:
            config[name] = identity(value)
    return config, parents


def _handles(value: Any) -> list[Any]:
    if isinstance(value, HANDLES):
        return [value]
    if isinstance(value, list | tuple):
        return [handle for item in value for handle in _handles(item)]
    if isinstance(value, dict):
        return [handle for item in value.values() for handle in _handles(item)]
    if isinstance(value, BaseModel) and not isinstance(value, FileHandle):
        return [handle for name in type(value).model_fields for handle in _handles(getattr(value, name))]
    return []


def _parent(argument: str, handle: Any) -> Parent:
    path = handle.artifact.path if isinstance(handle, Stored) else getattr(handle, "artifact", None)
    return Parent(argument=argument, identity=str(handle.key_identity()), path=path)
