"""Every table contract of the project, for tests that go through all of them."""

import importlib
import pkgutil

import data_contracts
from data_contracts.rows.row import Row


def all_contracts() -> list[type[Row]]:
    for module in pkgutil.walk_packages(data_contracts.__path__, "data_contracts."):
        importlib.import_module(module.name)
    return sorted((c for c in Row.__subclasses__() if c.__module__.startswith("data_contracts.")), key=str)
