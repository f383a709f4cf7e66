"""The parameters of flow `almost`, hence the form in the Prefect UI. Empty fields mean "as the profile says"."""

from typing import Annotated, Any

from prefect.runtime import flow_run
from pydantic import Field, WithJsonSchema

from data_contracts.profiles import load_profile, profile_names
from data_contracts.run_config import RunConfig
from tasks.stage_range import StageName


def _labelled(title: str, description: str, *choices: dict[str, Any], **bounds: Any) -> tuple[Any, ...]:
    """Annotations that give a field of the form its title, description and choices.

    Prefect titles fields with their bare names; what stands in `json_schema_extra` is put on top of that.
    """
    label = Field(json_schema_extra={"title": title, "description": description}, **bounds)
    return (label, WithJsonSchema({"anyOf": list(choices)})) if choices else (label,)


NUMBER = {"type": "integer", "minimum": 0, "title": "Number"}
COUNT = {"type": "integer", "minimum": 1, "title": "Number"}
STAGE = {"type": "string", "enum": [stage.value for stage in StageName], "title": "Stage"}
TEXT = {"type": "string", "title": "Text"}
EMPTY = {"type": "null", "title": "Empty"}

ProfileName = Annotated[
    str,
    *_labelled(
        "Profile",
        "A profile of the project, or the path of a .yaml file that workers can read",
        {"type": "string", "enum": profile_names(), "title": "Profile"},
        {"type": "string", "title": "Path"},
    ),
]
DataSeed = Annotated[
    int | None,
    *_labelled("Data seed", "New queries, responses and demonstrations; empty: the profile's", NUMBER, EMPTY, ge=0),
]
QueryCount = Annotated[
    int | None, *_labelled("Number of queries", "Queries to mine; empty: the profile's", COUNT, EMPTY, ge=1)
]
StopAfter = Annotated[StageName | None, *_labelled("Stop after", "Last stage; empty: the whole paper", STAGE, EMPTY)]
StartFrom = Annotated[
    StageName | None,
    *_labelled("Start from", "Stages before it must be in the store already; empty: any", STAGE, EMPTY),
]
Overrides = Annotated[
    tuple[str, ...], *_labelled("Overrides", "section.field=value, one per item, as with --set: policy.steps=20")
]
Home = Annotated[
    str | None,
    *_labelled("Home", "Store of the run: folder or URL; empty: the worker's ALMOST_HOME or .almost", TEXT, EMPTY),
]


def configure(
    profile: str, data_seed: int | None, queries: int | None, overrides: tuple[str, ...] | list[str]
) -> RunConfig:
    """The run's configuration: the profile's file, then the filled fields of the form, then the overrides."""
    fields = {"seeds.data": data_seed, "mining.queries": queries}
    curated = [f"{name}={value}" for name, value in fields.items() if value is not None]
    return load_profile(profile, [*curated, *overrides])


def run_name() -> str:
    """Name of a flow run: profile and data seed, as the form gave them."""
    parameters: dict[str, Any] = flow_run.parameters or {}
    seed = parameters.get("data_seed")
    name = str(parameters.get("profile", "tiny")).rsplit("/", 1)[-1].removesuffix(".yaml")
    return f"almost-{name}" if seed is None else f"almost-{name}-data{seed}"
