"""A row class is a table's contract: its fields are the columns, and it names the table, its version, key and rules.

    class Response(Row, table="responses", key="response_id"):
        response_id: str
        logprob: float | None
        rules = (finite("logprob"),)

The Arrow schema is derived from the fields (`columns.py`). Reading checks the contract id stored in the Parquet footer;
writing checks key, nulls and every rule, writes to a temporary name and renames. A violation names every broken rule with
its count and three keys. A row class knows nothing of where a table lives: see `data_contracts/store/`.
"""

import os
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import ClassVar, Self, dataclass_transform, get_type_hints

import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts.errors import ContractError
from data_contracts.rows.arrow import compute as pc
from data_contracts.rows.columns import Column, column_of, naming
from data_contracts.rows.rules import Rule

CONTRACT_METADATA = b"almost.contract"
ROW_GROUP_ROWS = 10_000
COMPRESSION_LEVEL = 3


class column(property):
    """A property of a row that is a column of its table: written with the row, derived again when the row is read."""


@dataclass_transform(frozen_default=True, kw_only_default=True)
class Row:
    """Base of every row class; a subclass is made a frozen dataclass with keyword arguments."""

    table: ClassVar[str]
    version: ClassVar[int]
    key: ClassVar[str]
    rules: ClassVar[tuple[Rule, ...]] = ()

    def __init_subclass__(cls, *, table: str | None = None, key: str | None = None, version: int | None = None) -> None:
        super().__init_subclass__()
        dataclass(frozen=True, kw_only=True)(cls)
        if table is not None:
            cls.table, cls.version = table, 1
        if key is not None:
            cls.key = key
        if version is not None:
            cls.version = version
        cls.columns()  # refuses a type that has no column

    # -- what the table is -----------------------------------------------------------------------------------------

    @classmethod
    def contract_id(cls) -> str:
        """`table@version`, as stored in Parquet footers, manifests and paths."""
        return f"{cls.table}@{cls.version}"

    @classmethod
    @cache
    def columns(cls) -> dict[str, Column]:
        """The columns by name: the fields in their order, then the derived ones (`@column`)."""
        hints = get_type_hints(cls)
        named = {field.name: column_of(field.name, hints[field.name]) for field in fields(cls)}  # type: ignore[arg-type]
        members = (member for base in reversed(cls.__mro__) for member in vars(base).items())
        for name, value in members:
            if isinstance(value, column):
                named[name] = column_of(name, get_type_hints(value.fget)["return"])
        return named

    @classmethod
    @cache
    def schema(cls) -> pa.Schema:
        """The Arrow schema of the table."""
        return pa.schema([one.field for one in cls.columns().values()])

    @classmethod
    @cache
    def all_rules(cls) -> tuple[Rule, ...]:
        """The rules that follow from the columns' types (an enum's column holds its values), then the table's own."""
        own = (one.rule() for one in cls.columns().values())
        return (*(rule for rule in own if rule is not None), *cls.rules)

    @classmethod
    def fingerprint(cls) -> str:
        """SHA-256 of the schema: column names, types and nullability, in order."""
        text = "\n".join(f"{f.name}:{f.type}:{f.nullable}" for f in cls.schema())
        return sha256(text.encode()).hexdigest()

    # -- rows to tables and back -----------------------------------------------------------------------------------

    @classmethod
    def to_table(cls, rows: Iterable[Self]) -> pa.Table:
        """A checked table of rows.

        Raises:
            ContractError: a value has another type than its column, or rules are broken.
        """
        listed = list(rows)
        arrays = []
        for name, one in cls.columns().items():
            values = [getattr(row, name) for row in listed]
            with naming(cls.contract_id(), name):
                encoded = values if one.encode is None else [one.encode(value) for value in values]
                arrays.append(pa.array(encoded, one.field.type))
        return cls.check(pa.Table.from_arrays(arrays, schema=_nullable(cls.schema())))

    @classmethod
    def from_table(cls, table: pa.Table | pa.RecordBatch) -> Iterator[Self]:
        """The rows of a table of this contract.

        Raises:
            ContractError: an enum's column holds a value that is no member.
        """
        given = []
        for field in fields(cls):  # type: ignore[arg-type]
            one = cls.columns()[field.name]
            values = table[field.name].to_pylist()
            with naming(cls.contract_id(), field.name):
                given.append(values if one.decode is None else [one.decode(value) for value in values])
        names = [field.name for field in fields(cls)]  # type: ignore[arg-type]
        for values in zip(*given, strict=True):
            yield cls(**dict(zip(names, values, strict=True)))

    @classmethod
    def empty(cls) -> pa.Table:
        """A table with the contract's columns and no rows."""
        return cls.schema().empty_table()

    # -- checking --------------------------------------------------------------------------------------------------

    @classmethod
    def check(cls, table: pa.Table) -> pa.Table:
        """Cast to the schema and check key, nulls and rules; return the cast table.

        Raises:
            ContractError: columns differ, a cast fails, or rules are broken (all of them are listed).
        """
        table = cls._cast(table, _nullable(cls.schema()))  # nulls are told by column and count, with the other problems
        broken = list(cls._problems(table))
        if broken:
            raise ContractError(f"{cls.contract_id()}: " + "; ".join(broken))
        return cls._cast(table, cls.schema())

    @classmethod
    def conform(cls, table: pa.Table) -> pa.Table:
        """The table with exactly the contract's columns and types, and no metadata; rules are not checked again."""
        return cls._cast(table.replace_schema_metadata(None), cls.schema())

    @classmethod
    def _cast(cls, table: pa.Table, schema: pa.Schema) -> pa.Table:
        known = cls.schema().names
        if len(set(table.column_names)) < len(table.column_names):
            raise ContractError(f"{cls.contract_id()}: columns repeat in {table.column_names}")
        if set(table.column_names) != set(known):
            missing, unknown = (
                sorted(set(known) - set(table.column_names)),
                sorted(set(table.column_names) - set(known)),
            )
            raise ContractError(
                f"{cls.contract_id()}: missing columns {missing}, unknown columns {unknown}; the contract has {known}"
            )
        try:
            return table.select(schema.names).cast(schema)
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, ValueError) as error:
            raise ContractError(f"{cls.contract_id()}: {error}") from error

    @classmethod
    def _problems(cls, table: pa.Table) -> Iterator[str]:
        for field in cls.schema():
            nulls = table[field.name].null_count
            if nulls and not field.nullable:
                yield f"column '{field.name}' is null in {nulls:,} of {table.num_rows:,} rows"
        if table.num_rows == 0:
            return
        keys = table[cls.key]
        duplicates = table.num_rows - pc.count_distinct(keys).as_py()
        if duplicates:
            counts = pc.value_counts(keys)
            repeated = [entry["values"] for entry in counts.to_pylist() if entry["counts"] > 1]
            yield f"key '{cls.key}' repeats in {duplicates:,} of {table.num_rows:,} rows, e.g. {repeated[:3]}"
        for rule in cls.all_rules():
            holds = pc.fill_null(rule.holds(table), False)
            if not pc.all(holds).as_py():
                failing = keys.filter(pc.invert(holds))
                yield (
                    f"'{rule.name}' broken by {len(failing):,} of {table.num_rows:,} rows, "
                    f"e.g. {cls.key} {failing.slice(0, 3).to_pylist()}"
                )

    # -- files -----------------------------------------------------------------------------------------------------

    @classmethod
    def write_part(cls, table: pa.Table, path: Path) -> None:
        """Check `table` and write it to `path` atomically (temporary name, fsync, rename)."""
        table = cls.check(table).replace_schema_metadata({CONTRACT_METADATA: cls.contract_id().encode()})
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
        with temporary.open("wb") as sink:
            pq.write_table(
                table,
                sink,
                row_group_size=ROW_GROUP_ROWS,
                compression="zstd",
                compression_level=COMPRESSION_LEVEL,
                use_dictionary=False,
            )
            sink.flush()
            os.fsync(sink.fileno())
        temporary.replace(path)

    @classmethod
    def write_file(cls, rows: Iterable[Self], path: Path) -> None:
        """Write rows as one Parquet file of this contract."""
        cls.write_part(cls.to_table(rows), path)

    @classmethod
    def open_part(cls, path: Path) -> pq.ParquetFile:
        """A Parquet file of this contract, for reading in pieces.

        Raises:
            ContractError: the file was written under another contract or version, or is not Parquet.
        """
        try:
            part = pq.ParquetFile(path)
        except (pa.ArrowInvalid, OSError) as error:
            raise ContractError(f"{cls.contract_id()}: cannot read {path}: {error}") from error
        found = (part.schema_arrow.metadata or {}).get(CONTRACT_METADATA, b"none").decode()
        if found != cls.contract_id():
            part.close()
            raise ContractError(f"{path} holds contract {found}, expected {cls.contract_id()}")
        return part

    @classmethod
    def read_parts(cls, paths: Sequence[Path]) -> pa.Table:
        """Read Parquet files of this contract, in the given order, as one table."""
        tables = []
        for path in paths:
            with cls.open_part(path) as part:
                try:
                    table = part.read()
                except (pa.ArrowInvalid, OSError) as error:
                    raise ContractError(f"{cls.contract_id()}: cannot read {path}: {error}") from error
            tables.append(cls.conform(table))
        return pa.concat_tables(tables) if tables else cls.empty()

    @classmethod
    def read_files(cls, paths: Sequence[Path]) -> Iterator[Self]:
        """The rows of Parquet files of this contract, a row group's worth in memory at a time."""
        for path in paths:
            with cls.open_part(path) as part:
                for batch in part.iter_batches(batch_size=ROW_GROUP_ROWS):
                    yield from cls.from_table(cls.conform(pa.Table.from_batches([batch])))


def _nullable(schema: pa.Schema) -> pa.Schema:
    return pa.schema([field.with_nullable(True) for field in schema])
