"""Profile section `as_is`: the as-is reward model and its veto (ALMoST section 2.1, Table 4)."""

from pydantic import Field

from data_contracts.config.section import Section


class AsIs(Section):
    """The as-is reward model and its veto (ALMoST 2.1; Table 4 ablates it)."""

    enabled: bool = Field(default=True, title="As-is veto", description="Table 4: 65.2 with, 63.3 without")
    pairs_file: str | None = Field(
        default=None,
        title="Community pairs",
        description="JSONL, Parquet or hub:ID: question, chosen, rejected; world's if empty",
    )
    pairs: int = Field(default=20_000, ge=1, title="Pairs used", description="ALMoST 2.1: 20k of StackExchange-paired")
