"""From a row's field types to Arrow columns, and values from one to the other.

A field may be `str`, `int`, `float`, `bool`, a StrEnum, a frozen dataclass (a struct), or a tuple of these (a list); each
may be null when the type says `| None`. Anything else is refused when the row class is defined.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum, StrEnum
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import pyarrow as pa

from data_contracts.errors import ContractError
from data_contracts.rows.rules import Rule, one_of

_LEAVES = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
Convert = Callable[[Any], Any]


@dataclass(frozen=True)
class Column:
    """One column of a table: its Arrow field, and how a value gets in and out; None: as it is."""

    field: pa.Field
    encode: Convert | None
    decode: Convert | None
    values: tuple[str, ...] | None = None  # of an enum

    def rule(self) -> Rule | None:
        """The rule that a column of an enum holds the enum's values; None for other columns."""
        return None if self.values is None else one_of(self.field.name, self.values)


def column_of(name: str, annotation: Any, nested: bool = False) -> Column:
    """The column of a field; `nested`: of a dataclass inside a row, where an enum converts its values itself.

    Raises:
        TypeError: the annotation has no column type.
    """
    inner, nullable = _without_none(annotation)
    arrow, encode, decode = _type_of(name, inner, nested)
    values = tuple(inner) if isinstance(inner, type) and issubclass(inner, StrEnum) else None
    return Column(pa.field(name, arrow, nullable=nullable), _or_none(encode), _or_none(decode), values)


@contextmanager
def naming(contract: str, column: str) -> Iterator[None]:
    """Turn what a conversion raises into a ContractError that names contract and column."""
    try:
        yield
    except (TypeError, ValueError, OverflowError, AttributeError) as error:  # Arrow's are the first two
        raise ContractError(f"{contract}: column '{column}': {error}") from error


def _without_none(annotation: Any) -> tuple[Any, bool]:
    if get_origin(annotation) in (Union, UnionType) and NoneType in get_args(annotation):
        (inner,) = (argument for argument in get_args(annotation) if argument is not NoneType)
        return inner, True
    return annotation, False


def _or_none(convert: Convert | None) -> Convert | None:
    if convert is None:
        return None
    return lambda value: None if value is None else convert(value)


def _type_of(name: str, annotation: Any, nested: bool = False) -> tuple[pa.DataType, Convert | None, Convert | None]:
    if annotation in _LEAVES:
        return _LEAVES[annotation], None, None
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        # No rule of a table sees inside a list or a struct: there, values are checked on the way in, too.
        return pa.string(), _member(annotation) if nested else None, _member(annotation)
    if get_origin(annotation) is tuple and get_args(annotation)[1:] == (Ellipsis,):
        inner, encode, decode = _type_of(name, get_args(annotation)[0], nested=True)
        return pa.list_(inner), _each(encode, list), _each(decode, tuple)
    if isinstance(annotation, type) and is_dataclass(annotation):
        return _struct(annotation)
    raise TypeError(f"field '{name}' has type {annotation}, which has no column; see data_contracts/rows/columns.py")


def _member(enum: type[Enum]) -> Convert:
    members = {member.value: member for member in enum}

    def member(value: Any) -> Enum:
        if value not in members:
            raise ValueError(f"'{value}' is no {enum.__name__}; known: {', '.join(members)}")
        return members[value]

    return member


def _each(convert: Convert | None, container: type) -> Convert:
    if convert is None:
        return container
    return lambda values: container(convert(value) for value in values)


def _struct(record: type) -> tuple[pa.DataType, Convert, Convert]:
    hints = get_type_hints(record)
    columns = {field.name: column_of(field.name, hints[field.name], nested=True) for field in fields(record)}

    def encode(value: Any) -> dict[str, Any]:
        return {n: c.encode(getattr(value, n)) if c.encode else getattr(value, n) for n, c in columns.items()}

    def decode(value: dict[str, Any]) -> Any:
        return record(**{n: c.decode(value[n]) if c.decode else value[n] for n, c in columns.items()})

    return pa.struct([column.field for column in columns.values()]), encode, decode
