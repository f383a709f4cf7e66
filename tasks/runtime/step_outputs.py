"""What a step returns: one artifact handle, or several with names."""

from typing import Any, get_args

from pydantic import BaseModel, ConfigDict

from data_contracts.store.artifact import Artifact


class Outputs(BaseModel):
    """Base of the return type of steps with several outputs: every field is an `Artifact[...]`."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def output_contracts(returns: Any) -> dict[str, Any]:
    """Output name -> contract class; a single output has the name ''."""
    if isinstance(returns, type) and issubclass(returns, Outputs):
        return {name: _contract_of(field.annotation) for name, field in returns.model_fields.items()}
    return {"": _contract_of(returns)}


def _contract_of(annotation: Any) -> Any:
    metadata = getattr(annotation, "__pydantic_generic_metadata__", None)
    arguments = metadata["args"] if metadata else get_args(annotation)
    if not arguments:
        raise TypeError(f"a step returns Artifact[Contract] or Outputs of them, not {annotation}")
    return arguments[0]


def artifacts_of(outputs: Any) -> list[Artifact]:
    """The handles of a step's outputs, the main one first."""
    if isinstance(outputs, Artifact):
        return [outputs]
    return [getattr(outputs, name) for name in type(outputs).model_fields]
