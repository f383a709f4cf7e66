"""docs/reference/: the committed pages are what the code says, and types, bounds and unions are told in words."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from data_contracts.config.run_config import RunConfig
from data_contracts.config.section import Word
from deployments.reference import configuration
from deployments.reference.__main__ import FOLDER, PAGES, outdated
from deployments.reference.commands import commands_page
from deployments.reference.field_types import shown, values_of
from deployments.reference.markdown import escaped, table


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Inner(BaseModel):
    """An inner section."""

    share: float = Field(default=0.5, ge=0, le=1, title="Share", description="Of all | some")


class Fields(BaseModel):
    """One field of each kind."""

    count: int = Field(default=3, ge=1)
    share: float = Field(default=0.5, gt=0, le=1)
    limit: int | None = Field(default=None, ge=1, le=10_000)
    colour: Colour = Colour.RED
    name: Literal["a", "b"] = "a"
    words: tuple[Word, ...] = Field(default=(), max_length=3)
    inner: dict[str, Inner] = Field(default_factory=dict)
    on: bool = False


class First(BaseModel):
    """The first."""

    kind: Literal["first"] = "first"
    both: int = 1
    beta: float = 0.1


class Second(BaseModel):
    """The second."""

    kind: Literal["second"] = "second"
    both: int = 1


class Whole(BaseModel):
    """A configuration with a union of sections."""

    choice: Annotated[First | Second, Field(discriminator="kind")] = First()
    inner: Inner = Inner(share=0.25)


@pytest.fixture(autouse=True)
def _no_placement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ALMOST_PLACEMENT", raising=False)


def test_the_committed_pages_are_current():
    assert outdated(FOLDER) == [], "write them anew: make reference"


def test_a_page_that_is_missing_or_changed_is_out_of_date(tmp_path: Path):
    assert outdated(tmp_path) == list(PAGES)
    (tmp_path / "commands.md").write_text(commands_page())
    assert outdated(tmp_path) == ["configuration.md"]
    (tmp_path / "commands.md").write_text(commands_page() + "more")
    assert outdated(tmp_path) == list(PAGES)


def test_every_section_and_command_has_a_heading():
    page = configuration.configuration_page()
    sections = set(RunConfig.model_fields) - {"profile"}
    assert sections <= {line.removeprefix("## ").strip("`") for line in page.splitlines() if line.startswith("## ")}
    assert "\n## `almost serve`\n" in commands_page()
    assert "| `--port NUMBER` | Port of the Prefect server. | `4200` |" in commands_page()


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("count", "whole number, at least 1"),
        ("share", "number, more than 0, at most 1"),
        ("limit", "whole number from 1 to 10 000, or empty"),
        ("colour", "`red` or `blue`"),
        ("name", "`a` or `b`"),
        ("words", "list of text, not blank, 3 at most"),
        ("inner", "mapping of text to section"),
        ("on", "`true` or `false`"),
    ],
)
def test_types_and_bounds_in_words(field: str, words: str):
    assert values_of(Fields.model_fields[field]) == words


def test_defaults_as_a_profile_writes_them():
    values: list[Any] = [Colour.RED, True, (1, "x"), {"a": Inner()}, "", 1e-5]
    assert [shown(value) for value in values] == ["red", "true", "[1, x]", "{a: {share: 0.5}}", "''", "1e-05"]


def test_fields_of_a_union_are_told_once_with_the_choices_that_have_them(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(configuration, "RunConfig", Whole)
    page = configuration.configuration_page()
    assert "`choice.kind` is `first` or `second` (default `first`) and decides which fields" in page
    both = page.split("### `choice` with kind first, second")[1]
    assert "| `both` |" in both.split("###")[0]
    assert page.count("| `both` |") == 1
    assert "| `beta` |" in page.split("### `choice` with kind first\n")[1]


def test_a_default_inside_a_section_is_the_one_of_the_section(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(configuration, "RunConfig", Whole)
    assert (
        "| `share` | **Share**. Of all \\| some | number from 0 to 1 | `0.25` |" in configuration.configuration_page()
    )


def test_markdown_shows_text_letter_by_letter():
    assert escaped("a*b <c> `x*y`  _z_ snake_case [d]") == r"a\*b \<c\> `x*y` \_z\_ snake_case \[d\]"
    assert table(("a",), [("x|y",)]) == "| a |\n| --- |\n| x\\|y |"
