"""The parameters of flow `almost`, hence the form in the Prefect UI. Empty fields mean "as the profile says"."""

from typing import Annotated, Any, get_type_hints

from prefect import Flow
from prefect.runtime import flow_run
from pydantic import Field
from pydantic.fields import FieldInfo

from data_contracts.profiles import load_profile, profile_names
from data_contracts.run_config import RunConfig
from tasks.stage_range import StageName

ProfileName = Annotated[
    str, Field(title="Profile", description="smoke, tiny, ... or the path of a .yaml file that workers can read")
]
DataSeed = Annotated[
    int | None, Field(title="Data seed", description="New queries, responses and demonstrations; empty: the profile's")
]
QueryCount = Annotated[
    int | None, Field(title="Number of queries", ge=1, description="Queries to mine; empty: the profile's")
]
StopAfter = Annotated[
    StageName | None, Field(title="Stop after", description="Last stage to run; empty: the whole paper")
]
StartFrom = Annotated[
    StageName | None, Field(title="Start from", description="Stages before this one must be in the store already")
]
Overrides = Annotated[
    tuple[str, ...], Field(title="Overrides", description="section.field=value, as with --set, e.g. policy.steps=20")
]
Home = Annotated[
    str | None, Field(title="Home", description="Store of the run: folder or fsspec URL; empty: ALMOST_HOME or .almost")
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


def label_form(flow: Flow[Any, Any]) -> None:
    """Give the form the titles and descriptions of the annotations above, and profiles a drop-down.

    Prefect titles every field with its bare name and takes descriptions from docstrings only; the schema it shows is
    the flow's `parameters`.
    """
    for name, hint in get_type_hints(flow.fn, include_extras=True).items():
        field = next((entry for entry in getattr(hint, "__metadata__", ()) if isinstance(entry, FieldInfo)), None)
        if field is None:
            continue
        shown = flow.parameters.properties[name]
        shown |= {"title": field.title, "description": field.description}
        for choice in shown.get("anyOf", []):
            if choice.get("type") == "null":
                choice["title"] = "From the profile"
    profile = flow.parameters.properties["profile"]
    profile.pop("type", None)
    profile["anyOf"] = [
        {"title": "Profile of the project", "type": "string", "enum": profile_names()},
        {"title": "Path of a file", "type": "string"},
    ]
