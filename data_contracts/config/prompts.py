"""Profile section `prompts`: the few-shot demonstrations and seed queries (ALMoST section 2.1, Appendix A)."""

from pydantic import Field

from data_contracts.config.section import Section


class Prompts(Section):
    """Prompt files; `world` takes the tiny world's own, `builtin` the project's conversations, else a path."""

    seed_queries: str = Field(default="builtin", title="Seed queries", description="One query a line; ALMoST 2.1: 10")
    hhh: str = Field(default="builtin", title="HHH conversations", description="ALMoST: 14 of Askell et al. (2021)")
    faithful: str = Field(default="builtin", title="Faithful conversations", description="ALMoST: 3, fuller answers")
    user: str = Field(default="builtin", title="User conversations", description="ALMoST Appendix A")
