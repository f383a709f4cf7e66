"""docs/reference/commands.md: every command of `almost` with its arguments and options, as typer knows them."""

from enum import Enum
from pathlib import Path
from typing import Any, get_args

import typer

from deployments.cli import command_line
from deployments.reference.markdown import code, escaped, paragraphs, table

_VALUES = {str: "TEXT", int: "NUMBER", float: "NUMBER", Path: "FILE"}
INTRODUCTION = """# Commands

<!-- Written by `python -m deployments.reference` (make reference) from deployments/cli/command_line.py; do not edit. -->

In a checkout `almost` is `.venv/bin/almost`. Exit codes: 0 done; 2 the input is wrong (one line says what and where);
1 anything else; 130 interrupted. `almost COMMAND --help` prints the same as this page.
"""


def commands_page() -> str:
    """The page as Markdown."""
    group: Any = typer.main.get_command(command_line.app)
    rows = [[f"[`{name}`](#almost-{name})", escaped(_first_line(command))] for name, command in group.commands.items()]
    parts = [INTRODUCTION, table(("command", "what it does"), rows)]
    for name, command in group.commands.items():
        parts += [f"## `almost {name}`", paragraphs(command.help or ""), f"```\n{_usage(name, command)}\n```"]
        shown = [_row(parameter) for parameter in command.params if parameter.name != "help"]
        if shown:
            parts.append(table(("argument or option", "what it is", "default"), shown))
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _first_line(command: Any) -> str:
    return (command.help or "").strip().split("\n")[0].rstrip(".")


def _usage(name: str, command: Any) -> str:
    words = ["almost", name]
    for parameter in command.params:
        if parameter.param_type_name == "argument":
            words.append(_metavar(parameter) if parameter.required else f"[{_metavar(parameter)}]")
        elif parameter.required:
            words += [parameter.opts[0], _metavar(parameter)]
    return " ".join([*words, "[OPTIONS]"])


def _row(parameter: Any) -> list[str]:
    if parameter.param_type_name == "argument":
        form = code(_metavar(parameter))
    else:
        value = "" if getattr(parameter, "is_flag", False) else f" {_metavar(parameter)}"
        form = ", ".join(code(option + value) for option in sorted(parameter.opts, key=len, reverse=True))
    return [form, escaped(parameter.help or ""), _default(parameter)]


def _metavar(parameter: Any) -> str:
    """What stands for the value: the declared metavar, the argument's name, or the type."""
    if parameter.metavar:
        return parameter.metavar
    if parameter.param_type_name == "argument":
        return parameter.name.upper()
    kind = parameter.type_descriptor.annotation
    return _VALUES[next(iter(get_args(kind)), kind)]


def _default(parameter: Any) -> str:
    value = parameter.default
    if parameter.required:
        return "required"
    if value is None or value is False or callable(value) or not isinstance(value, str | int | float | Path | Enum):
        return ""
    return code(str(value))
