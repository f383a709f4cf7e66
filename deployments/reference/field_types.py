"""What a profile's field may hold and what it holds by default, in words, from its pydantic declaration."""

from collections.abc import Iterable
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from deployments.reference.markdown import code

_NAMES = {str: "text", int: "whole number", float: "number", bool: "`true` or `false`", Any: "anything"}
_BOUNDS = {
    annotated_types.Ge: ("at least", "ge"),
    annotated_types.Gt: ("more than", "gt"),
    annotated_types.Le: ("at most", "le"),
    annotated_types.Lt: ("less than", "lt"),
}


def sections_in(annotation: Any) -> list[type[BaseModel]]:
    """The models an annotation speaks of, also inside unions, lists and mappings."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in sections_in(part)]


def values_of(field: FieldInfo) -> str:
    """Type and bounds of a field, and whether it may be empty."""
    return _type(field.annotation, field.metadata)


def default_of(field: FieldInfo, value: Any) -> str:
    """A default as a profile would write it; `value` is what the section holds when the field is left out."""
    if field.is_required():
        return "required"
    if value is None:
        return "empty"
    return code(shown(value)) if not isinstance(value, BaseModel) else "as below"


def shown(value: Any) -> str:
    """A value as YAML on one line."""
    match value:
        case Enum():
            return str(value.value)
        case bool():
            return str(value).lower()
        case BaseModel():
            return "{" + ", ".join(f"{k}: {shown(v)}" for k, v in value if v is not None) + "}"
        case dict():
            return "{" + ", ".join(f"{shown(k)}: {shown(v)}" for k, v in value.items()) + "}"
        case list() | tuple() | set() | frozenset():
            return "[" + ", ".join(shown(item) for item in value) + "]"
        case str():
            return value if value.strip() == value and value and "\n" not in value else repr(value)
        case _:
            return str(value)


def _type(annotation: Any, metadata: Iterable[Any] = ()) -> str:
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(parts[0], [*parts[1:], *metadata])
    if origin in (Union, UnionType):
        filled = dict.fromkeys(_type(part, metadata) for part in parts if part is not NoneType)
        return " or ".join(filled) + (", or empty" if NoneType in parts else "")
    return ", ".join([_plain_type(annotation, origin, parts) + _range(metadata), *_limits(metadata)])


def _plain_type(annotation: Any, origin: Any, parts: tuple[Any, ...]) -> str:
    if origin is Literal:
        return " or ".join(code(str(part)) for part in parts)
    if origin is dict:
        return f"mapping of {_type(parts[0])} to {_type(parts[1])}"
    if origin in (tuple, list, set, frozenset):
        kinds = dict.fromkeys(_type(part) for part in parts if part is not Ellipsis)
        return f"list of {' and '.join(kinds)}"
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return " or ".join(code(str(member.value)) for member in annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "section"
    return _NAMES.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _range(metadata: Iterable[Any]) -> str:
    """` from 0 to 1` where both ends are allowed values, else nothing."""
    least = [bound.ge for bound in metadata if isinstance(bound, annotated_types.Ge)]
    most = [bound.le for bound in metadata if isinstance(bound, annotated_types.Le)]
    return f" from {_number(least[0])} to {_number(most[0])}" if least and most else ""


def _limits(metadata: Iterable[Any]) -> list[str]:
    """Every bound that `_range` has not told."""
    told = (annotated_types.Ge, annotated_types.Le) if _range(metadata) else ()
    found: list[str] = []
    for bound in metadata:
        if type(bound) in _BOUNDS and not isinstance(bound, told):
            word, name = _BOUNDS[type(bound)]
            found.append(f"{word} {_number(getattr(bound, name))}")
        elif isinstance(bound, annotated_types.MinLen):
            found.append(f"{bound.min_length} or more")
        elif isinstance(bound, annotated_types.MaxLen):
            found.append(f"{bound.max_length} at most")
        elif (pattern := getattr(bound, "pattern", None)) is not None:
            found.append("not blank" if pattern == r"\S" else f"matching {code(str(pattern))}")
    return found


def _number(value: Any) -> str:
    return f"{value:,}".replace(",", " ") if isinstance(value, int) else str(value)
