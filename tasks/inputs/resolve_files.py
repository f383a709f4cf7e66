"""Data files as handles: known by name and content, whether local or fetched from the Hub."""

import os
from pathlib import Path

from data_contracts.errors import ConfigError
from data_contracts.handles import FileHandle
from data_contracts.store.keys import file_digest
from tasks.inputs.fetch_dataset import HUB, fetch_dataset


def resolve_file(field: str, source: str) -> FileHandle:
    """A data file by content; `hub:...` names a dataset (see `fetch_dataset`)."""
    path = fetch_dataset(field, source) if source.startswith(HUB) else Path(source).expanduser()
    if not path.is_file():
        raise ConfigError(f"{field}: file {source} does not exist; check the path")
    return FileHandle(name=path.name, digest=file_digest(path), path=os.path.abspath(path))
