"""The phases of a run, in the paper's order: what `--until` and `--from` name. Each step says to which it belongs."""

from dataclasses import dataclass
from enum import StrEnum

from data_contracts.errors import ConfigError


class Phase(StrEnum):
    """Parts of a run, in order."""

    WORLD = "world"
    QUERIES = "queries"
    RESPONSES = "responses"
    COMPARISONS = "comparisons"
    REWARD_MODEL = "reward_model"
    DEMONSTRATIONS = "demonstrations"
    SFT = "sft"
    POLICY = "policy"
    EVALUATION = "evaluation"

    @property
    def place(self) -> int:
        """Its place in the order, from 0."""
        return list(Phase).index(self)


class PhaseReached(Exception):
    """Raised before the first step behind the last phase that was asked for."""


@dataclass(frozen=True)
class PhaseRange:
    """The phases that a run covers: it ends after `until`, and computes nothing before `from_`; None is open."""

    until: Phase | None = None
    from_: Phase | None = None

    def __post_init__(self) -> None:
        if self.until and self.from_ and self.from_.place > self.until.place:
            raise ConfigError(f"--from {self.from_} lies behind --until {self.until}: nothing would run; swap them")

    def covers(self, phase: Phase | None) -> bool:
        """Whether steps of `phase` lie before the end of the range."""
        return self.until is None or phase is None or phase.place <= self.until.place

    def check_reached(self, phase: Phase | None) -> None:
        """Raise PhaseReached when `phase` lies behind the last phase asked for."""
        if not self.covers(phase):
            raise PhaseReached(str(self.until))

    def check_computed(self, step: str, phase: Phase | None) -> None:
        """Raise ConfigError when a step that must be computed lies before the first phase asked for."""
        if self.from_ is not None and (phase is None or phase.place < self.from_.place):
            until = f", or with --until {phase}" if phase is not None else ""
            raise ConfigError(
                f"--from {self.from_}: the outputs of {step} are not in the store for this configuration; "
                f"run once without --from{until}"
            )


EVERY_PHASE = PhaseRange()


def phase_named(option: str, name: str | None) -> Phase | None:
    """The phase that an option names, None when the option was left out.

    Raises:
        ConfigError: no such phase.
    """
    if name is None:
        return None
    try:
        return Phase(name)
    except ValueError as error:
        raise ConfigError(f"{option} {name}: unknown phase; known: {', '.join(Phase)}") from error
