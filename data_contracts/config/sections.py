"""Profile sections of step 1 (queries to reward model) and of the run as a whole. Training sections: see below.

Every default carries its source. Fields declared with `NOT_IN_KEY` change how fast a step runs, not what it makes.
"""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from data_contracts.store.keys import NOT_IN_KEY, identity, section_fields

# A blank word would be found in every text.
Word = Annotated[str, StringConstraints(pattern=r"\S")]


class Section(BaseModel):
    """Base of profile sections: frozen, and unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Seeds(Section):
    """Separate seeds, so that new data does not retrain the ladder (DESIGN section 3)."""

    world: int = Field(default=1, title="World seed", description="Facts and names of the tiny world")
    ladder: int = Field(default=1, title="Ladder seed", description="Pre-training of the tiny world's models")
    data: int = Field(default=1, title="Data seed", description="Mining, responses, self-play")
    train: int = Field(default=1, title="Training seed", description="Reward models, SFT, PPO")
    eval: int = Field(default=1, title="Evaluation seed", description="Sampling in evaluations")


class Models(Section):
    """The ladder of vanilla models and the two bases that are trained; a Hub id, a folder, or `tiny:NAME`."""

    small: str = Field(title="Small model", description="LLaMA-7B in the paper")
    mid: str = Field(title="Middle model", description="LLaMA-13B in the paper")
    large: str = Field(title="Large model", description="LLaMA-30B in the paper")
    reward: str = Field(title="Reward-model base", description="LLaMA-7B in the paper")
    policy: str = Field(title="Policy base", description="LLaMA-7B in the paper")
    likelihood: str | None = Field(
        default=None,
        title="Likelihood base",
        description="Frozen model that reward.likelihood asks; empty: the reward base. Not in the paper",
    )

    def named(self) -> dict[str, str]:
        """Role -> source, without roles that are left empty."""
        return {role: source for role, source in self.model_dump().items() if source is not None}


class Prompts(Section):
    """Prompt files; `world` takes the tiny world's own, `builtin` the project's conversations, else a path."""

    seed_queries: str = Field(default="builtin", title="Seed queries", description="One query a line; ALMoST 2.1: 10")
    hhh: str = Field(default="builtin", title="HHH conversations", description="ALMoST: 14 of Askell et al. (2021)")
    faithful: str = Field(default="builtin", title="Faithful conversations", description="ALMoST: 3, fuller answers")
    user: str = Field(default="builtin", title="User conversations", description="ALMoST Appendix A")


class Sampling(Section):
    """Sampling of responses (ALMoST C.2)."""

    top_p: float = Field(default=0.9, gt=0, le=1, title="Nucleus mass", description="ALMoST C.2")
    temperature: float = Field(default=1.0, ge=0, title="Temperature", description="ALMoST C.2")
    max_new_tokens: int = Field(default=384, ge=1, title="New tokens at most", description="ALMoST C.2")
    shard_rows: int = Field(default=256, ge=1, title="Rows per shard", description="Lost at most after a crash")


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


class Responder(Section):
    """One prompted vanilla model; responders are listed best first: the order is the rule of thumb."""

    name: str = Field(title="Name", pattern=r"^\w[\w.-]*$", description="Letters, digits, '.', '-', '_'; part of ids")
    model: str = Field(title="Ladder model", description="small, mid or large")
    prompt: str = Field(title="Prompt set", description="hhh or faithful")
    shots: int = Field(ge=0, title="Shots")


class Pairing(StrEnum):
    """Which pairs of the ranking become comparisons."""

    ALL = "all"
    UPSTREAM = "upstream"


class Ranking(Section):
    """How ranked responses become comparisons."""

    pairing: Pairing = Field(
        default=Pairing.ALL,
        title="Pairing",
        description="all = every ordered pair (ALMoST 2.1); upstream = a response is chosen at most once",
    )


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


class AsIs(Section):
    """The as-is reward model and its veto (ALMoST 2.1; Table 4 ablates it)."""

    enabled: bool = Field(default=True, title="As-is veto", description="Table 4: 65.2 with, 63.3 without")
    pairs_file: str | None = Field(
        default=None,
        title="Community pairs",
        description="JSONL, Parquet or hub:ID: question, chosen, rejected; world's if empty",
    )
    pairs: int = Field(default=20_000, ge=1, title="Pairs used", description="ALMoST 2.1: 20k of StackExchange-paired")


class EngineKind(StrEnum):
    """Which text generation engine is used."""

    TRANSFORMERS = "transformers"
    VLLM = "vllm"
    OPENAI = "openai"


class EngineConfig(Section):
    """The text generation engine (DESIGN section 5)."""

    kind: EngineKind = Field(default=EngineKind.TRANSFORMERS, title="Engine")
    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        default="float32", title="Number type", description="float32 on CPU, bfloat16 on GPU"
    )
    batch_size: int = Field(default=64, ge=1, title="Rows at once", json_schema_extra=NOT_IN_KEY)
    threads: int = Field(default=1, ge=1, title="CPU threads")
    device: str = Field(
        default="auto",
        pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$",
        title="Device",
        description="auto, cpu or cuda:N; beside a server it places the reward model",
        json_schema_extra=NOT_IN_KEY,
    )
    base_url: str | None = Field(
        default=None,
        title="Server",
        description="kind openai: address that /completions is under, e.g. http://127.0.0.1:8000/v1",
        json_schema_extra=NOT_IN_KEY,
    )
    served_model: str | None = Field(
        default=None,
        title="Served model",
        description="The model's name at the server; empty: its folder",
    )
    server_executable: str | None = Field(
        default=None,
        title="Server program",
        description="Started by each stage that needs it; kind vllm: empty is .venv-vllm/bin/vllm of the checkout",
        json_schema_extra=NOT_IN_KEY,
    )
    server_arguments: tuple[str, ...] = Field(
        default=(),
        title="Server arguments",
        description="kind vllm: added to the command line; kind openai: all of it, with {model}, {port} filled in",
    )
    server_start_s: float = Field(default=900, gt=0, title="Server start limit (s)", json_schema_extra=NOT_IN_KEY)
    api_key_env: str = Field(
        default="OPENAI_API_KEY",
        title="Key variable",
        description="Environment variable with the server's key; the key itself is never stored",
        json_schema_extra=NOT_IN_KEY,
    )
    concurrency: int | None = Field(
        default=None,
        ge=1,
        title="Requests at once",
        description="Empty: 256 with kind vllm, else 8",
        json_schema_extra=NOT_IN_KEY,
    )
    request_timeout_s: float = Field(default=600, gt=0, title="Request limit (s)", json_schema_extra=NOT_IN_KEY)
    request_retries: int = Field(default=6, ge=0, title="Retries per request", json_schema_extra=NOT_IN_KEY)
    failed_share: float = Field(
        default=0.02,
        ge=0,
        le=1,
        title="Failed rows allowed",
        description="Share of a shard that a server may fail; they are recorded. Above it the stage fails",
        json_schema_extra=NOT_IN_KEY,
    )

    def key_identity(self) -> dict[str, object]:
        """What enters keys; the arguments of a server only where one is started."""
        fields = {name: getattr(self, name) for name in section_fields(type(self))}
        if self.kind is EngineKind.TRANSFORMERS:
            del fields["server_arguments"]
        return {name: identity(value) for name, value in fields.items()}
