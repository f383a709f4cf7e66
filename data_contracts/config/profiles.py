"""Profiles: YAML files of numbers, loaded into a `RunConfig`, with `section.field=value` overrides.

The loader lives here, not in `deployments/`, so that flows may use it.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from data_contracts.config.policy.settings import switch_algorithm
from data_contracts.config.run_config import FORMER_SECTIONS, RunConfig
from data_contracts.config.section import explain_invalid
from data_contracts.errors import ConfigError

log = logging.getLogger("almost.profiles")
ALGORITHM = "policy.algorithm"
PROFILE_FOLDER = Path(__file__).resolve().parents[2] / "deployments" / "profiles"


def profile_names() -> list[str]:
    """Names of the profiles that come with the project."""
    return sorted(path.stem for path in PROFILE_FOLDER.glob("*.yaml"))


def load_profile(profile: str, overrides: Sequence[str] = ()) -> RunConfig:
    """Load a profile by name or path and apply `section.field=value` overrides.

    An override of `policy.algorithm` comes first, wherever it stands: the section `policy` of the file then keeps what
    both algorithms share and loses the rest (`switch_algorithm`), which is logged.

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
    _switch_algorithm(content, profile, overrides)
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


def _switch_algorithm(content: dict[str, Any], profile: str, overrides: Sequence[str]) -> None:
    """Turn the file's section `policy` into one of the algorithm that the overrides ask for, and log what is lost."""
    chosen = [_value(override) for override in overrides if override.partition("=")[0].strip() == ALGORITHM]
    section = content.get("policy") or {}
    if not chosen or not isinstance(section, dict):
        return
    content["policy"], dropped = switch_algorithm(section, chosen[-1])
    if dropped:
        log.warning(
            "profile %s: policy.algorithm is now %s, so these numbers of the file do not count: policy.{%s}",
            profile,
            chosen[-1],
            ", ".join(dropped),
        )


def _apply(content: dict[str, Any], override: str) -> None:
    name, separator, _ = override.partition("=")
    steps = name.strip().split(".")
    if not separator or len(steps) < 2 or not all(steps):
        raise ConfigError(f"--set {override}: expected section.field=value, e.g. --set mining.queries=500")
    if steps[0] not in (*RunConfig.model_fields, *FORMER_SECTIONS):  # the configuration says what became of those
        raise ConfigError(f"--set {override}: unknown section '{steps[0]}'; known: {', '.join(RunConfig.model_fields)}")
    value = _value(override)
    target: Any = content
    for step in steps[:-1]:
        target = _descend(target, step, override)
    if isinstance(target, list):
        target[_index(target, steps[-1], override)] = value
    else:
        target[steps[-1]] = value


def _value(override: str) -> Any:
    try:
        return yaml.safe_load(override.partition("=")[2])
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {override}: the value is not valid YAML; quote it") from error


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
