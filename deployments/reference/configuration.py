"""docs/reference/configuration.md: every section of a profile and every field, as pydantic knows them."""

from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from data_contracts.config.run_config import RunConfig
from data_contracts.store.keys import NOT_IN_KEY
from deployments.reference.field_types import default_of, sections_in, shown, values_of
from deployments.reference.markdown import code, escaped, paragraphs, table

INTRODUCTION = """# Configuration

<!-- Written by `python -m deployments.reference` (make reference) from data_contracts/config/; do not edit. -->

A profile is a YAML file of the sections below; a field that it leaves out has the default shown here. The same names
stand in `--set section.field=value` on the command line and in the field *overrides* of the form. A profile with an
unknown field, or with a value out of bounds, is refused before anything runs.

The first words of a description are the field's title in the form; a unit stands there in parentheses or in the field's
name (`_s` is seconds). The description ends with the source of the default, where a paper gives one. "Empty" means
that the field may be left out or set to `null`. **†** marks fields that are no part of a step's key: they change where or
how fast a step runs, or name files that count by their content, and results in the store are found again whatever they say.
"""


def configuration_page() -> str:
    """The page as Markdown."""
    sections = {name: field for name, field in RunConfig.model_fields.items() if sections_in(field.annotation)}
    rows = []
    for name, field in sections.items():
        summary = _summary(field)
        rows.append([f"[`{name}`](#{name})", escaped(summary), "required" if field.is_required() else ""])
    parts = [INTRODUCTION, table(("section", "what it says", ""), rows)]
    for name, field in sections.items():
        parts += _section(name, field, level=2)
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _summary(field: FieldInfo) -> str:
    return field.title or (sections_in(field.annotation)[0].__doc__ or "").strip().split("\n")[0].rstrip(".")


def _section(path: str, field: FieldInfo, level: int) -> Iterator[str]:
    """Heading, description and table of a section, then of the sections inside it."""
    models, default = sections_in(field.annotation), _default(field)
    fields = {name: inner for model in models for name, inner in model.model_fields.items()}
    yield f"{'#' * level} `{path}`"
    if len(models) > 1:
        yield from _union(path, models, default, level)
    else:
        yield paragraphs(models[0].__doc__ or "")
        yield _table(path, default, fields)
    for name, inner in fields.items():
        if sections_in(inner.annotation):
            yield from _section(f"{path}.{name}", inner, level + 1)


def _union(path: str, models: list[type[BaseModel]], chosen: BaseModel | None, level: int) -> Iterator[str]:
    """A section whose fields depend on one of them: a table for every set of choices that share fields."""
    choices = {model: _choice(model) for model in models}
    key = choices[models[0]][0]
    named = " or ".join(code(value) for _, value in choices.values())
    default = "" if chosen is None else f" (default {code(str(getattr(chosen, key)))})"
    yield f"`{path}.{key}` is {named}{default} and decides which fields the section has."
    groups: dict[tuple[str, ...], dict[str, FieldInfo]] = {}
    for model in models:
        for name, field in model.model_fields.items():
            owners = tuple(choices[m][1] for m in models if repr(m.model_fields.get(name)) == repr(field))
            if name != key:
                groups.setdefault(owners, {})[name] = field
    for owners, fields in sorted(groups.items(), key=lambda group: -len(group[0])):
        yield f"{'#' * (level + 1)} `{path}` with {key} {', '.join(owners)}"
        yield _table(path, None, fields)


def _choice(model: type[BaseModel]) -> tuple[str, str]:
    """The field by which a member of a union is known, and its only value."""
    for name, field in model.model_fields.items():
        if get_origin(field.annotation) is Literal and len(get_args(field.annotation)) == 1:
            return name, shown(get_args(field.annotation)[0])
    raise TypeError(f"{model.__name__} is in a union of sections and has no field that names it")


def _default(field: FieldInfo) -> BaseModel | None:
    """The section that a profile has when it leaves this one out, if there is one."""
    value = None if field.is_required() else field.get_default(call_default_factory=True)
    return value if isinstance(value, BaseModel) else None


def _table(path: str, instance: BaseModel | None, fields: dict[str, FieldInfo]) -> str:
    rows = []
    for name, field in fields.items():
        mark = " †" if _is_outside_keys(field) or path.split(".")[0] == "placement" else ""
        rows.append(
            [code(name) + mark, _meaning(field), values_of(field), default_of(field, _value(field, instance, name))]
        )
    return table(("field", "what it is", "values", "default"), rows)


def _value(field: FieldInfo, instance: BaseModel | None, name: str) -> Any:
    if instance is not None:
        return getattr(instance, name)
    return None if field.is_required() else field.get_default(call_default_factory=True)


def _is_outside_keys(field: FieldInfo) -> bool:
    return isinstance(field.json_schema_extra, dict) and NOT_IN_KEY.items() <= field.json_schema_extra.items()


def _meaning(field: FieldInfo) -> str:
    title, description = escaped(field.title or ""), escaped(field.description or "")
    return ". ".join(part for part in (f"**{title}**" if title else "", description) if part)
