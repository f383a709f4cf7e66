"""Section: the frozen base of every profile section, texts that may not be blank, and what is wrong with a section."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from data_contracts.config.algorithm import Algorithm

# A blank word would be found in every text.
Word = Annotated[str, StringConstraints(pattern=r"\S")]


class Section(BaseModel):
    """Base of profile sections: frozen, and unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def explain_invalid(error: ValidationError) -> str:
    """What is wrong with a profile or a section of it, and where, in one line."""
    # A misspelt field is the likeliest mistake, and the reason why others are "missing".
    first = min(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")
    place = [str(part) for part in first["loc"]]
    if place[:1] == ["policy"] and place[1:2] and place[1] in list(Algorithm):
        del place[1]  # pydantic names the member of the union; a profile has no such level
    field = ".".join(place)
    message = first["msg"].removeprefix("Value error, ")
    shown = "" if first["type"] in ("missing", "value_error") else f" (found {str(first['input'])[:80]!r})"
    more = f"; and {error.error_count() - 1} more" if error.error_count() > 1 else ""
    if first["type"] == "extra_forbidden":
        message = "no such field"
        shown = ""
    return f"{field}: {message}{shown}{more}" if field else f"{message}{more}"
