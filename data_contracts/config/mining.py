"""Profile section `mining`: how queries are mined and cleaned (ALMoST section 2.1, Appendix C)."""

from pydantic import Field

from data_contracts.config.section import Section, Word


class Mining(Section):
    """Query mining (ALMoST 2.1, C.1, C.2)."""

    queries: int = Field(default=10_000, ge=1, title="Number of queries", description="ALMoST 2.1: 10k")
    model: str = Field(default="large", title="Miner", description="Ladder model; LLaMA-30B in the paper")
    static_shots: int = Field(default=7, ge=0, title="Static shots", description="ALMoST 2.1")
    dynamic_shots: int = Field(
        default=3, ge=0, title="Dynamic shots", description="ALMoST 2.1: drawn from mined queries"
    )
    top_p: float = Field(default=0.9, gt=0, le=1, title="Nucleus mass", description="ALMoST C.2")
    temperature: float = Field(default=1.2, ge=0, title="Temperature", description="ALMoST C.2")
    max_new_tokens: int = Field(default=64, ge=1, title="New tokens at most", description="upstream code")
    bad_words: tuple[Word, ...] = Field(
        default=("image", "images", "graph", "graphs", "picture", "pictures", "photo", "video", "videos"),
        title="Bad words",
        description="ALMoST C.1: image, graph, picture, video",
    )
    rouge_l: float = Field(default=0.5, gt=0, le=1, title="Rouge-L limit", description="ALMoST C.1: dropped above it")
    drop_ties: bool = Field(default=False, title="Drop at the limit", description="False = paper (> limit)")
    seeds_in_dedup: bool = Field(
        default=True, title="Seeds count in dedup", description="Upstream; the paper is silent"
    )
    round_prompts: int = Field(default=64, ge=1, title="Prompts per round", description="Mined queries join per round")
    max_attempts_per_query: float = Field(default=20, ge=1, title="Attempts", description="Generations per kept query")
    decontaminate_ngram: int = Field(
        default=13,
        ge=1,
        title="Overlap n-gram",
        description="A query with as many words of an evaluation text is dropped",
    )
    decontaminate_contained: float = Field(
        default=0.9,
        gt=0,
        le=1,
        title="Overlap share",
        description="A query that has this share of an evaluation text's word triples is dropped; ours",
    )
