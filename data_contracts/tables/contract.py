"""A table contract: an Arrow schema, a version, a key and named vectorised rules (DESIGN section 2).

Reading checks the contract id stored in the Parquet footer; writing casts, checks every rule, writes to a temporary
name and renames. A violation names every broken rule with its count and three keys. The contract knows nothing of
where a table lives: see `store.py`.
"""

import os
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts.errors import ContractError
from data_contracts.tables.arrow import compute as pc

CONTRACT_METADATA = b"almost.contract"
ROW_GROUP_ROWS = 10_000
COMPRESSION_LEVEL = 3


@dataclass(frozen=True)
class Rule:
    """A named condition on rows: `holds(table)` is a Boolean array, one entry per row; null counts as broken."""

    name: str
    holds: Callable[[pa.Table], pa.Array | pa.ChunkedArray]


class Contract:
    """Base of every table contract; subclasses set the class variables and nothing else."""

    name: ClassVar[str]
    version: ClassVar[int] = 1
    schema: ClassVar[pa.Schema]
    key: ClassVar[str]
    rules: ClassVar[tuple[Rule, ...]] = ()

    @classmethod
    def contract_id(cls) -> str:
        """`name@version`, as stored in Parquet footers, manifests and paths."""
        return f"{cls.name}@{cls.version}"

    @classmethod
    def fingerprint(cls) -> str:
        """SHA-256 of the schema: column names, types and nullability, in order."""
        text = "\n".join(f"{f.name}:{f.type}:{f.nullable}" for f in cls.schema)
        return sha256(text.encode()).hexdigest()

    @classmethod
    def from_rows(cls, rows: Sequence[dict[str, Any]]) -> pa.Table:
        """Build a checked table from dictionaries that have exactly the contract's columns."""
        columns = set(cls.schema.names)
        for row in rows:
            if set(row) != columns:
                missing, unknown = sorted(columns - set(row)), sorted(set(row) - columns)
                raise ContractError(f"{cls.contract_id()}: a row lacks {missing} and has unknown {unknown}")
        try:
            table = pa.Table.from_pylist(list(rows), schema=_nullable(cls.schema))
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise ContractError(f"{cls.contract_id()}: {error}") from error
        return cls.check(table)

    @classmethod
    def empty(cls) -> pa.Table:
        """A table with the contract's columns and no rows."""
        return cls.schema.empty_table()

    @classmethod
    def check(cls, table: pa.Table) -> pa.Table:
        """Cast to the schema and check key, nulls and rules; return the cast table.

        Raises:
            ContractError: columns differ, a cast fails, or rules are broken (all of them are listed).
        """
        table = cls._cast(table, _nullable(cls.schema))  # nulls are told by column and count, with the other problems
        broken = list(cls._problems(table))
        if broken:
            raise ContractError(f"{cls.contract_id()}: " + "; ".join(broken))
        return cls._cast(table, cls.schema)

    @classmethod
    def _cast(cls, table: pa.Table, schema: pa.Schema) -> pa.Table:
        if len(set(table.column_names)) < len(table.column_names):
            raise ContractError(f"{cls.contract_id()}: columns repeat in {table.column_names}")
        if set(table.column_names) != set(cls.schema.names):
            missing = sorted(set(cls.schema.names) - set(table.column_names))
            unknown = sorted(set(table.column_names) - set(cls.schema.names))
            raise ContractError(
                f"{cls.contract_id()}: missing columns {missing}, unknown columns {unknown}; "
                f"the contract has {cls.schema.names}"
            )
        try:
            return table.select(schema.names).cast(schema)
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, ValueError) as error:
            raise ContractError(f"{cls.contract_id()}: {error}") from error

    @classmethod
    def _problems(cls, table: pa.Table) -> Iterable[str]:
        for field in cls.schema:
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
        for rule in cls.rules:
            holds = pc.fill_null(rule.holds(table), False)
            if not pc.all(holds).as_py():
                failing = keys.filter(pc.invert(holds))
                yield (
                    f"'{rule.name}' broken by {len(failing):,} of {table.num_rows:,} rows, "
                    f"e.g. {cls.key} {failing.slice(0, 3).to_pylist()}"
                )

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
    def read_parts(cls, paths: Sequence[Path]) -> pa.Table:
        """Read Parquet files of this contract, in the given order, as one table.

        Raises:
            ContractError: a file was written under another contract or version, or is not Parquet.
        """
        tables = []
        for path in paths:
            try:
                table = pq.ParquetFile(path).read()
            except (pa.ArrowInvalid, OSError) as error:
                raise ContractError(f"{cls.contract_id()}: cannot read {path}: {error}") from error
            found = (table.schema.metadata or {}).get(CONTRACT_METADATA, b"none").decode()
            if found != cls.contract_id():
                raise ContractError(f"{path} holds contract {found}, expected {cls.contract_id()}")
            tables.append(cls._cast(table.replace_schema_metadata(None), cls.schema))
        return pa.concat_tables(tables) if tables else cls.empty()


def _nullable(schema: pa.Schema) -> pa.Schema:
    return pa.schema([field.with_nullable(True) for field in schema])


def text(name: str, *, nullable: bool = False) -> pa.Field:
    """A string column."""
    return pa.field(name, pa.string(), nullable=nullable)


def integer(name: str, *, nullable: bool = False) -> pa.Field:
    """A 64-bit integer column."""
    return pa.field(name, pa.int64(), nullable=nullable)


def number(name: str, *, nullable: bool = False) -> pa.Field:
    """A 64-bit float column."""
    return pa.field(name, pa.float64(), nullable=nullable)


def boolean(name: str, *, nullable: bool = False) -> pa.Field:
    """A Boolean column."""
    return pa.field(name, pa.bool_(), nullable=nullable)


def finite(column: str) -> Rule:
    """The rule that a float column holds neither NaN nor infinity (null allowed where the schema allows it)."""
    return Rule(f"{column} is finite", lambda t: pc.fill_null(pc.is_finite(t[column]), True))


def at_least(column: str, bound: float) -> Rule:
    """The rule that a numeric column is >= `bound`."""
    return Rule(f"{column} >= {bound}", lambda t: pc.fill_null(pc.greater_equal(t[column], bound), True))


def one_of(column: str, values: Iterable[str]) -> Rule:
    """The rule that a text column holds one of `values` (null allowed where the schema allows it)."""
    allowed = pa.array([str(v) for v in values], pa.string())
    return Rule(
        f"{column} is one of {', '.join(allowed.to_pylist())}",
        lambda t: pc.or_(pc.is_null(t[column]), pc.is_in(t[column], value_set=allowed)),
    )


def not_blank(column: str) -> Rule:
    """The rule that a text column is not empty or white space."""
    return Rule(f"{column} is not blank", lambda t: pc.greater(pc.utf8_length(pc.utf8_trim_whitespace(t[column])), 0))
