"""Profile section `use`: what a person brings in place of a step's output."""

from pydantic import Field

from data_contracts.config.section import Section

USABLE = ("queries",)


class Given(Section):
    """Files in place of what a step would make."""

    queries: str | None = Field(
        default=None,
        title="Own queries",
        description="In place of mining: .txt (one a line), .jsonl, .json, .parquet or hub:ID; all of them are used",
    )
