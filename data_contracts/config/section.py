"""Section: the frozen base of every profile section, and texts that may not be blank."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

# A blank word would be found in every text.
Word = Annotated[str, StringConstraints(pattern=r"\S")]


class Section(BaseModel):
    """Base of profile sections: frozen, and unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")
