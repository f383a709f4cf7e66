"""Keys of steps: step name + explicit version + the configuration the step reads + the digests of its inputs.

Never paths, batch sizes or tables. A field of a configuration section stays out of the key when it
is declared with `NOT_IN_KEY`: it may change how fast a step runs, not what it makes.
"""

import json
from collections.abc import Mapping, Sequence
from enum import Enum
from fractions import Fraction
from hashlib import sha256
from math import isfinite
from pathlib import Path
from typing import Any

from pydantic import BaseModel

KEY_LENGTH = 32
NOT_IN_KEY: dict[str, Any] = {"in_key": False}


def identity(value: Any) -> Any:
    """The part of an argument that enters the key, as plain JSON data.

    Raises:
        TypeError: the value has no identity (a path, a table, NaN, infinity, ...).
    """
    if hasattr(value, "key_identity"):
        return value.key_identity()
    match value:
        case None | bool() | int() | str() if not isinstance(value, Enum):
            return value
        case Enum():
            return value.value
        case float() if isfinite(value):
            return value
        case Fraction():
            return str(value)
        case BaseModel():
            return {name: identity(getattr(value, name)) for name in section_fields(type(value))}
        case Mapping():
            return {str(name): identity(item) for name, item in value.items()}
        case Path():
            raise TypeError(f"a path cannot enter a key ({value}); pass a handle that knows its digest")
        case Sequence() if not isinstance(value, bytes | bytearray):
            return [identity(item) for item in value]
        case _:
            raise TypeError(f"{type(value).__name__} cannot enter a key: {value!r}")


def section_fields(section: type[BaseModel]) -> list[str]:
    """Names of the fields of a configuration section that enter the key."""
    return [name for name, field in section.model_fields.items() if _in_key(field.json_schema_extra)]


def _in_key(extra: Any) -> bool:
    return not (isinstance(extra, dict) and extra.get("in_key") is False)


def step_key(step: str, version: str, arguments: Mapping[str, Any]) -> str:
    """The key under which a step's outputs are stored: hex, `KEY_LENGTH` characters."""
    content = {"step": step, "version": version, "arguments": {n: identity(v) for n, v in arguments.items()}}
    return sha256(canonical_json(content).encode()).hexdigest()[:KEY_LENGTH]


def canonical_json(content: Any) -> str:
    """JSON with sorted keys and no white space, so that equal content gives equal text."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    digest = sha256()
    with path.open("rb") as source:
        while block := source.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
