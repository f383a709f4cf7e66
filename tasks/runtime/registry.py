"""Every step of `tasks/`, by name: what deployments, the code lock, approval and the docs' tables are made from."""

import importlib
import pkgutil
from functools import cache
from typing import Any

import tasks
from tasks.runtime.step import Step, registered_steps


@cache
def all_steps() -> dict[str, Step[Any, Any]]:
    """Every step by name; imports all modules of `tasks/`."""
    for module in pkgutil.walk_packages(tasks.__path__, "tasks."):
        importlib.import_module(module.name)
    return registered_steps()


def heavy_steps() -> dict[str, Step[Any, Any]]:
    """The steps with a deployment of their own, by name."""
    return {name: one for name, one in all_steps().items() if one.declared.heavy}
