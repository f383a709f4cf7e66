"""What a step returns: rows or a folder, or several of them with names; and how they get into the store."""

from typing import Any, get_args, get_origin

from pydantic import BaseModel, ConfigDict, TypeAdapter

from data_contracts.rows.rows import Rows
from data_contracts.store.artifact import Artifact
from data_contracts.store.artifact_store import Store
from data_contracts.store.manifest import Provenance
from data_contracts.store.stored import Folder, Stored, StoredFolder, StoredRows


class Outputs(BaseModel):
    """Base of the return type of steps with several outputs: every field is `Rows[...]` or `Folder[...]`."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


def output_contracts(returns: Any) -> dict[str, Any]:
    """Output name -> row class or folder contract; a single output has the name ''."""
    if isinstance(returns, type) and issubclass(returns, Outputs):
        return {name: _contract_of(field.annotation) for name, field in returns.model_fields.items()}
    return {"": _contract_of(returns)}


def _contract_of(annotation: Any) -> Any:
    origin = get_origin(annotation)
    if not (isinstance(origin, type) and issubclass(origin, Rows | Folder)):
        raise TypeError(f"a step returns Rows[...], Folder[...] or Outputs of them, not {annotation}")
    return get_args(annotation)[0]


def commit(outputs: Any, key: str, provenance: Provenance, store: Store) -> Any:
    """Write what a step returned; the same outputs, as they lie in the store."""
    if isinstance(outputs, Outputs):
        names = type(outputs).model_fields
        return type(outputs)(**{name: _commit_one(getattr(outputs, name), key, provenance, store) for name in names})
    return _commit_one(outputs, key, provenance, store)


def _commit_one(output: Rows[Any] | Folder[Any], key: str, provenance: Provenance, store: Store) -> Stored:
    if isinstance(output, Rows):
        return store.commit_rows(key, output, provenance)
    if isinstance(output, StoredFolder):
        return output
    artifact = store.commit_folder(output.contract, key, output.local(), provenance)
    return StoredFolder(output.contract, artifact, store)


def stored_outputs(returns: Any, handles: Any, store: Store) -> Any:
    """Outputs of type `returns` from their handles (artifacts, or these as JSON)."""
    return TypeAdapter(returns).validate_python(handles, context={"stored": store.stored})


def artifacts_of(outputs: Any) -> list[Artifact]:
    """The handles of a step's outputs, the main one first."""
    if isinstance(outputs, StoredRows | StoredFolder):
        return [outputs.artifact]
    return [getattr(outputs, name).artifact for name in type(outputs).model_fields]
