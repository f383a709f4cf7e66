"""The parameters of flow `almost`, hence the form in the Prefect UI. Empty fields mean "as the profile says".

The server checks a form against this module's schema before it creates a run: bounds, choices, and that every override
names a section. What only a whole configuration can tell is checked when the run begins, before any step.
"""

from typing import Annotated, Any

from prefect.runtime import flow_run
from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from data_contracts.config.algorithm import Algorithm
from data_contracts.config.profiles import load_profile, profile_names
from data_contracts.config.run_config import RunConfig
from tasks.runtime.phases import Phase


def _labelled(title: str, description: str, *choices: dict[str, Any], **bounds: Any) -> tuple[Any, ...]:
    """Annotations that give a field of the form its title, description and choices.

    Prefect titles fields with their bare names; what stands in `json_schema_extra` is put on top of that.
    """
    label = Field(json_schema_extra={"title": title, "description": description}, **bounds)
    return (label, WithJsonSchema({"anyOf": list(choices)})) if choices else (label,)


NUMBER = {"type": "integer", "minimum": 0, "title": "Number"}
COUNT = {"type": "integer", "minimum": 1, "title": "Number"}
PHASE = {"type": "string", "enum": [phase.value for phase in Phase], "title": "Phase"}
ALGORITHM = {"type": "string", "enum": [algorithm.value for algorithm in Algorithm], "title": "Algorithm"}
YES_OR_NO = {"type": "boolean", "title": "Yes or no"}
TEXT = {"type": "string", "minLength": 1, "title": "Text"}
EMPTY = {"type": "null", "title": "Empty"}
SECTIONS = [name for name in RunConfig.model_fields if name != "profile"]
OVERRIDE = rf"^\s*({'|'.join(SECTIONS)})(\.[\w-]+)+\s*=.*$"


class _Group(BaseModel):
    """A box of the form; every field left empty is the profile's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def overrides(self, section: str) -> list[str]:
        """The filled fields as `section.field=value`."""
        filled = self.model_dump(exclude_none=True)
        return [f"{section}.{name}={_quoted(value)}" for name, value in filled.items()]


Source = Annotated[str | None, Field(min_length=1), WithJsonSchema({"anyOf": [TEXT, EMPTY]})]


class ModelSources(_Group):
    """The vanilla models: a Hub id, a folder that workers can read, or tiny:NAME."""

    small: Source = Field(default=None, title="Small", description="LLaMA-7B in the paper")
    mid: Source = Field(default=None, title="Middle", description="LLaMA-13B in the paper")
    large: Source = Field(
        default=None, title="Large", description="LLaMA-30B in the paper; mines queries and plays both sides"
    )
    reward: Source = Field(default=None, title="Reward-model base", description="LLaMA-7B in the paper")
    policy: Source = Field(default=None, title="Policy base", description="LLaMA-7B in the paper")
    likelihood: Source = Field(
        default=None, title="Likelihood base", description="Frozen, for reward.likelihood; not in the paper"
    )


class PromptSources(_Group):
    """Prompt sets: a file that workers can read, builtin, or world."""

    seed_queries: Source = Field(default=None, title="Seed queries", description="One query a line")
    hhh: Source = Field(default=None, title="HHH conversations", description="Demonstrations shown to most responders")
    faithful: Source = Field(
        default=None, title="Faithful conversations", description="Fuller answers: the best responder and self-play"
    )
    user: Source = Field(default=None, title="User conversations", description="Demonstrations of the simulated user")


ProfileName = Annotated[
    str,
    *_labelled(
        "Profile",
        "A profile of the project, or the path of a .yaml file that workers can read",
        {"type": "string", "enum": profile_names(), "title": "Profile"},
        {"type": "string", "pattern": r"\.ya?ml$", "title": "Path"},
    ),
]
DataSeed = Annotated[
    int | None,
    *_labelled("Data seed", "New queries, responses and demonstrations; empty: the profile's", NUMBER, EMPTY, ge=0),
]
QueryCount = Annotated[
    int | None, *_labelled("Number of queries", "Queries to mine; empty: the profile's", COUNT, EMPTY, ge=1)
]
Ladder = Annotated[ModelSources, *_labelled("Models", "Vanilla models and bases; empty fields: the profile's")]
PromptSets = Annotated[PromptSources, *_labelled("Prompt sets", "Few-shot prompts; empty fields: the profile's")]
PolicyAlgorithm = Annotated[
    Algorithm | None,
    *_labelled(
        "Policy algorithm",
        "How the policy is trained after SFT; the profile's numbers for another algorithm are dropped; empty: the profile's",
        ALGORITHM,
        EMPTY,
    ),
]
Approval = Annotated[
    bool | None,
    *_labelled("Approval", "Show the bill and wait for Resume before spending; empty: the profile's", YES_OR_NO, EMPTY),
]
StopAfter = Annotated[
    Phase | None, *_labelled("Stop after", "Last phase of the run; empty: the whole paper", PHASE, EMPTY)
]
StartFrom = Annotated[
    Phase | None,
    *_labelled("Start from", "Phases before it must be in the store already; empty: any", PHASE, EMPTY),
]
Overrides = Annotated[
    tuple[Annotated[str, WithJsonSchema({"type": "string", "pattern": OVERRIDE})], ...],
    *_labelled("Overrides", "section.field=value, one per item, as with --set: policy.steps=20"),
]
Home = Annotated[
    str | None,
    *_labelled("Home", "Store of the run: folder or URL; empty: the worker's ALMOST_HOME or .almost", TEXT, EMPTY),
]


def configure(
    profile: str,
    data_seed: int | None = None,
    queries: int | None = None,
    models: ModelSources = ModelSources(),  # noqa: B008 - frozen
    prompts: PromptSources = PromptSources(),  # noqa: B008
    algorithm: Algorithm | None = None,
    approval: bool | None = None,
    overrides: tuple[str, ...] | list[str] = (),
) -> RunConfig:
    """The run's configuration: the profile's file, then the filled fields of the form, then the overrides.

    Raises:
        ConfigError: unknown profile or field, or a value that breaks a bound.
    """
    fields: dict[str, Any] = {"seeds.data": data_seed, "mining.queries": queries, "policy.algorithm": algorithm}
    fields["placement.approval"] = None if approval is None else str(approval).lower()
    curated = [f"{name}={value}" for name, value in fields.items() if value is not None]
    return load_profile(profile, [*curated, *models.overrides("models"), *prompts.overrides("prompts"), *overrides])


def _quoted(value: str) -> str:
    """A YAML scalar that is read back as this very text."""
    return "'" + value.replace("'", "''") + "'"


def run_name() -> str:
    """Name of a flow run: profile and data seed, as the form gave them."""
    parameters: dict[str, Any] = flow_run.parameters or {}
    seed = parameters.get("data_seed")
    name = str(parameters.get("profile", "tiny")).rsplit("/", 1)[-1].removesuffix(".yaml")
    return f"almost-{name}" if seed is None else f"almost-{name}-data{seed}"
