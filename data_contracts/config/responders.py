"""Profile section `responders`: the prompted vanilla models whose order is the rule of thumb (ALMoST section 2.1)."""

from pydantic import Field

from data_contracts.config.section import Section


class Responder(Section):
    """One prompted vanilla model; responders are listed best first: the order is the rule of thumb."""

    name: str = Field(title="Name", pattern=r"^\w[\w.-]*$", description="Letters, digits, '.', '-', '_'; part of ids")
    model: str = Field(title="Ladder model", description="small, mid or large")
    prompt: str = Field(title="Prompt set", description="hhh or faithful")
    shots: int = Field(ge=0, title="Shots")
