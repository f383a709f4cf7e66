"""Profile section `sampling`: how responders' answers are sampled (ALMoST Appendix C.2)."""

from pydantic import Field

from data_contracts.config.section import Section


class Sampling(Section):
    """Sampling of responses (ALMoST C.2)."""

    top_p: float = Field(default=0.9, gt=0, le=1, title="Nucleus mass", description="ALMoST C.2")
    temperature: float = Field(default=1.0, ge=0, title="Temperature", description="ALMoST C.2")
    max_new_tokens: int = Field(default=384, ge=1, title="New tokens at most", description="ALMoST C.2")
    shard_rows: int = Field(default=256, ge=1, title="Rows per shard", description="Lost at most after a crash")
