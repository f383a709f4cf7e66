"""What a step was computed from: its handles as parents, everything else as configuration."""

from typing import Any

from pydantic import BaseModel

from data_contracts.handles import FileHandle, ModelHandle, PromptHandle
from data_contracts.store.keys import identity
from data_contracts.store.manifest import Parent
from data_contracts.store.stored import Stored

HANDLES = (Stored, ModelHandle, PromptHandle)


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
