"""Profiles: YAML files of numbers, loaded into a `RunConfig`, with `section.field=value` overrides.

The loader lives here, not in `deployments/`, so that flows may use it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from data_contracts.config.run_config import RunConfig
from data_contracts.errors import ConfigError

PROFILE_FOLDER = Path(__file__).resolve().parents[2] / "deployments" / "profiles"


def profile_names() -> list[str]:
    """Names of the profiles that come with the project."""
    return sorted(path.stem for path in PROFILE_FOLDER.glob("*.yaml"))


def load_profile(profile: str, overrides: Sequence[str] = ()) -> RunConfig:
    """Load a profile by name or path and apply `section.field=value` overrides.

    Raises:
        ConfigError: unknown profile, unknown field, or a value that breaks a bound; one line says what and where.
    """
    path = _profile_path(profile)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"profile {path}: not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"profile {path}: expected sections, found {type(content).__name__}")
    content.setdefault("profile", path.stem)
    for override in overrides:
        _apply(content, override)
    return config_from(content, where=f"profile {profile}")


def config_from(content: dict[str, Any], where: str) -> RunConfig:
    """Validate a configuration; the first wrong field is named.

    Raises:
        ConfigError: with field, value, and what is allowed.
    """
    try:
        return RunConfig.model_validate(content)
    except ValidationError as error:
        raise ConfigError(f"{where}: {explain_invalid(error)}") from error


def _profile_path(profile: str) -> Path:
    if profile.endswith((".yaml", ".yml")):
        if not Path(profile).is_file():
            raise ConfigError(f"profile file {profile} does not exist")
        return Path(profile)
    path = PROFILE_FOLDER / f"{profile}.yaml"
    if "/" in profile or not path.is_file():
        raise ConfigError(
            f"unknown profile '{profile}'; known: {', '.join(profile_names())}, or a path to a .yaml file"
        )
    return path


def _apply(content: dict[str, Any], override: str) -> None:
    name, separator, raw = override.partition("=")
    steps = name.strip().split(".")
    if not separator or len(steps) < 2 or not all(steps):
        raise ConfigError(f"--set {override}: expected section.field=value, e.g. --set mining.queries=500")
    if steps[0] not in RunConfig.model_fields:
        raise ConfigError(f"--set {override}: unknown section '{steps[0]}'; known: {', '.join(RunConfig.model_fields)}")
    try:
        value = yaml.safe_load(raw)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {override}: the value is not valid YAML; quote it") from error
    target: Any = content
    for step in steps[:-1]:
        target = _descend(target, step, override)
    if isinstance(target, list):
        target[_index(target, steps[-1], override)] = value
    else:
        target[steps[-1]] = value


def _descend(target: Any, step: str, override: str) -> Any:
    if isinstance(target, list):
        return target[_index(target, step, override)]
    if target.get(step) is None:
        target[step] = {}
    if not isinstance(target[step], dict | list):
        raise ConfigError(f"--set {override}: '{step}' is a value, not a section")
    return target[step]


def _index(target: list[Any], step: str, override: str) -> int:
    if not step.isdigit() or int(step) >= len(target):
        raise ConfigError(f"--set {override}: '{step}' is not a position from 0 to {len(target) - 1}")
    return int(step)


def explain_invalid(error: ValidationError) -> str:
    """What is wrong with a profile or a section of it, and where, in one line."""
    # A misspelt field is the likeliest mistake, and the reason why others are "missing".
    first = min(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")
    field = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    shown = "" if first["type"] in ("missing", "value_error") else f" (found {str(first['input'])[:80]!r})"
    more = f"; and {error.error_count() - 1} more" if error.error_count() > 1 else ""
    if first["type"] == "extra_forbidden":
        message = "no such field"
        shown = ""
    return f"{field}: {message}{shown}{more}" if field else f"{message}{more}"
