"""Profile section `policy`: how the SFT policy is optimised. Its fields are those of its `algorithm` (ADR 16).

A profile may hold numbers for other algorithms in `policy.alternatives`, a section per algorithm. They are read when
`--set policy.algorithm=NAME` switches to one of them (`switch_algorithm`).
"""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator

from data_contracts.config.algorithm import Algorithm
from data_contracts.config.policy.pairs import DPOSettings, LearningFromPairs, SigmoidNormSettings
from data_contracts.config.policy.ppo import PPOSettings
from data_contracts.config.policy.rewards import GRPOSettings, LearningFromRewards, RLOOSettings
from data_contracts.config.section import explain_invalid

RewardAlgorithmSettings = PPOSettings | RLOOSettings | GRPOSettings
PolicySettings = RewardAlgorithmSettings | DPOSettings | SigmoidNormSettings
SETTINGS: dict[str, type[LearningFromRewards] | type[LearningFromPairs]] = {
    Algorithm.PPO: PPOSettings,
    Algorithm.RLOO: RLOOSettings,
    Algorithm.GRPO: GRPOSettings,
    Algorithm.DPO: DPOSettings,
    Algorithm.SIGMOID_NORM: SigmoidNormSettings,
}
ALTERNATIVES = "alternatives"
_DEFAULT = Algorithm.PPO.value


def switch_algorithm(section: Mapping[str, Any], algorithm: str) -> tuple[dict[str, Any], list[str]]:
    """A profile's section `policy` for another algorithm than its own, and the fields that are dropped, by name.

    Kept are the fields of the nearest base class of both algorithms' settings, apart from those without a default there:
    each algorithm has a scale of its own for them. The section's `alternatives` for the new algorithm come on top.
    An algorithm that nobody knows is left to the section's validation.
    """
    before = section.get("algorithm", _DEFAULT)
    if algorithm == before or algorithm not in SETTINGS or before not in SETTINGS:
        return {**section, "algorithm": algorithm}, []
    base = next(c for c in SETTINGS[before].__mro__ if issubclass(SETTINGS[algorithm], c))
    shared = {name for name, field in base.model_fields.items() if not field.is_required()}
    own = {name: value for name, value in section.items() if name not in ("algorithm", ALTERNATIVES)}
    extra = (section.get(ALTERNATIVES) or {}).get(algorithm) or {}
    kept = {name: value for name, value in own.items() if name in shared or name not in SETTINGS[before].model_fields}
    return {"algorithm": algorithm, **kept, **extra}, [name for name in own if name not in kept and name not in extra]


def _settings_of(section: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    """The settings of the section's algorithm. ValueError for fields it does not read, and for wrong alternatives."""
    if not isinstance(section, Mapping):
        return validate(section)
    if "optimizer" in section:
        raise ValueError(f"'optimizer' is now 'algorithm': write policy.algorithm ({', '.join(SETTINGS)})")
    content = {"algorithm": _DEFAULT, **section}
    algorithm = content["algorithm"]
    if algorithm not in SETTINGS:
        raise ValueError(f"algorithm is {algorithm!r}; known: {', '.join(SETTINGS)}")
    boxes = content.pop(ALTERNATIVES, None) or {}
    for name in content:
        readers = _readers(name)
        if readers and algorithm not in readers:
            raise ValueError(
                f"algorithm {algorithm} does not read '{name}', which belongs to {', '.join(readers)}; remove it, set "
                f"policy.algorithm={readers[0]}, or keep it for such a run as policy.alternatives.{readers[0]}.{name}"
            )
    settings = validate(content)
    _check_alternatives(content, boxes)
    return settings


def _readers(field: str) -> list[str]:
    """The algorithms whose settings have a field."""
    return [str(name) for name, settings in SETTINGS.items() if field in settings.model_fields]


def _check_alternatives(section: Mapping[str, Any], boxes: Any) -> None:
    """Raise ValueError where the numbers for another algorithm would be refused once that algorithm is chosen."""
    if not isinstance(boxes, Mapping):
        raise ValueError(f"alternatives is {boxes!r}; expected a section per algorithm")
    for name, box in boxes.items():
        if name not in SETTINGS:
            raise ValueError(f"alternatives.{name} is no algorithm; known: {', '.join(SETTINGS)}")
        if name == section["algorithm"]:
            raise ValueError(
                f"alternatives.{name}: {name} is the section's own algorithm; its fields stand in 'policy' itself"
            )
        if not isinstance(box, Mapping) or "algorithm" in box:
            raise ValueError(f"alternatives.{name} is {box!r}; expected fields of {name}")
        try:
            SETTINGS[name].model_validate(switch_algorithm({**section, ALTERNATIVES: boxes}, name)[0])
        except ValidationError as error:
            if any(problem["loc"] for problem in error.errors()):  # how fields go together matters once it is chosen
                raise ValueError(f"alternatives.{name}: {explain_invalid(error)}") from error


PolicySection = Annotated[PolicySettings, Field(discriminator="algorithm"), WrapValidator(_settings_of)]
