"""Profile section `ranking`: which pairs of ranked responses become comparisons (ALMoST section 2.1)."""

from enum import StrEnum

from pydantic import Field

from data_contracts.config.section import Section


class Pairing(StrEnum):
    """Which pairs of the ranking become comparisons."""

    ALL = "all"
    UPSTREAM = "upstream"


class Ranking(Section):
    """How ranked responses become comparisons."""

    pairing: Pairing = Field(
        default=Pairing.ALL,
        title="Pairing",
        description="all = every ordered pair (ALMoST 2.1); upstream = a response is chosen at most once",
    )
