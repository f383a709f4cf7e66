"""Profile section `filter`: the heuristic filter of comparisons (ALMoST section 2.1, Figure 6)."""

from pydantic import Field

from data_contracts.config.section import Section, Word


class HeuristicFilter(Section):
    """The heuristic filter (ALMoST 2.1, Figure 6); `upstream_shape` adds the rules only the release has."""

    enabled: bool = Field(default=True, title="Heuristic filter", description="Table 4 ablates it")
    refusals: tuple[Word, ...] = Field(
        default=("i don't know", "i do not know", "i'm not sure", "i am not sure", "i can't answer", "i cannot answer"),
        title="Refusals",
        description='A response that contains one leaves every pair of its query; ALMoST: "I don\'t know"',
    )
    fillers: tuple[Word, ...] = Field(
        default=("well",), title="Fillers", description='A response that begins with one is discarded; ALMoST: "well"'
    )
    length: bool = Field(default=True, title="Length rule", description="len(chosen) > len(rejected) or > M - S/2")
    length_ties: bool = Field(default=False, title="Length ties pass", description="True = upstream's >=")
    upstream_shape: bool = Field(default=False, title="Upstream's shape rules", description="Under 50 characters, ...")
