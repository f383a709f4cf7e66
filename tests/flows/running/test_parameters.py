"""The form in the UI, and what its fields mean. No server is needed."""

import inspect
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from prefect.utilities.callables import parameter_schema

from data_contracts.config.algorithm import Algorithm
from data_contracts.config.placement import Placement, Target
from data_contracts.config.policy.pairs import LearningFromPairs
from data_contracts.config.profiles import PROFILE_FOLDER, profile_names
from data_contracts.config.run_config import RunConfig
from data_contracts.errors import ConfigError
from data_contracts.folder_contracts import FolderContract, PolicyCheckpoint, RewardCheckpoint
from data_contracts.rows.row import Row
from data_contracts.store.artifact import Artifact
from data_contracts.store.artifact_store import Store
from data_contracts.tables.comparisons import Comparison
from data_contracts.tables.demonstrations import Demonstration
from flows.almost import almost
from flows.running.parameters import ModelSources, PromptSources, configure
from tasks.policy.optimize_by_preferences import optimize_by_preferences
from tasks.policy.optimize_policy import optimize_policy
from tasks.runtime.context import use_store
from tasks.runtime.step import Step

SCHEMA: dict[str, Any] = parameter_schema(almost.fn).model_dump()
FIELDS = SCHEMA["properties"]


def accepts(**parameters: Any) -> bool:
    """Whether the server would start a run with these parameters."""
    return Draft202012Validator(SCHEMA).is_valid(parameters)


def test_every_field_has_a_title_and_a_description():
    assert [field["title"] for field in FIELDS.values()] == [
        "Profile",
        "Data seed",
        "Number of queries",
        "Models",
        "Prompt sets",
        "Policy algorithm",
        "Approval",
        "Stop after",
        "Start from",
        "Overrides",
        "Home",
    ]
    assert all(field["description"] for field in FIELDS.values())


def test_profile_is_a_drop_down_or_a_path():
    names, path = FIELDS["profile"]["anyOf"]
    assert names["enum"] == profile_names()
    assert path == {"type": "string", "pattern": r"\.ya?ml$", "title": "Path"}


@pytest.mark.parametrize("name", ["models", "prompts"])
def test_boxes_have_titles_and_descriptions_inside(name: str):
    box = FIELDS[name]
    fields = SCHEMA["definitions"][box["$ref"].rsplit("/", 1)[-1]]["properties"]
    assert set(fields) == set(RunConfig.model_fields[name].annotation.model_fields)  # type: ignore[union-attr]
    assert all(field["title"] and field["description"] for field in fields.values())


@pytest.mark.parametrize("profile", profile_names())
def test_untouched_form_is_the_profile_file(profile: str):
    defaults = {name: field["default"] for name, field in FIELDS.items()}
    untouched = {name: value for name, value in defaults.items() if value not in (None, [])} | {"profile": profile}
    for form in ({"profile": profile}, untouched, defaults | {"profile": profile}):
        assert accepts(**form)
        given = almost.validate_parameters(json.loads(json.dumps(form)))
        read = {name: value for name, value in given.items() if name in inspect.signature(configure).parameters}
        content = yaml.safe_load((PROFILE_FOLDER / f"{profile}.yaml").read_text())
        assert configure(**read) == RunConfig.model_validate(content)
    assert {name: value for name, value in defaults.items() if value not in (None, [], {})} == {
        "profile": "tiny",
        "models": dict.fromkeys(RunConfig.model_fields["models"].annotation.model_fields),  # type: ignore[union-attr]
        "prompts": dict.fromkeys(RunConfig.model_fields["prompts"].annotation.model_fields),  # type: ignore[union-attr]
    }


@pytest.mark.parametrize(
    "wrong",
    [
        {"queries": 0},
        {"queries": "many"},
        {"data_seed": -1},
        {"stop_after": "world tour"},
        {"overrides": "a.b=1"},
        {"overrides": ["polcy.steps=1"]},
        {"overrides": ["policy.steps"]},
        {"overrides": ["policy=1"]},
        {"profile": "smok"},
        {"models": {"smal": "x"}},
        {"models": {"small": ""}},
        {"models": "x"},
        {"prompts": {"hhh": 3}},
        {"algorithm": "magic"},
        {"approval": "perhaps"},
        {"home": 3},
    ],
)
def test_wrong_fields_are_refused_before_a_run_starts(wrong: dict[str, Any]):
    assert accepts(profile="smoke")
    assert not accepts(**{"profile": "smoke"} | wrong)


def test_filled_fields_come_before_overrides():
    config = configure(
        "smoke",
        7,
        33,
        ModelSources(small="tiny:mid"),
        PromptSources(hhh="it's: a file.txt"),
        Algorithm.PPO,
        True,
        ["mining.queries=44"],
    )
    assert (config.seeds.data, config.mining.queries) == (7, 44)
    assert (config.models.small, config.models.mid) == ("tiny:mid", "tiny:mid")
    assert config.placement.approval
    assert config.prompts.hhh == "it's: a file.txt"
    with pytest.raises(ConfigError, match="unknown section 'typo'"):
        configure("smoke", overrides=["typo.x=1"])


@pytest.mark.parametrize("algorithm", Algorithm)
def test_an_algorithm_is_chosen_in_the_form_as_by_set(algorithm: Algorithm):
    chosen = configure("smoke", algorithm=algorithm)
    assert chosen == configure("smoke", overrides=[f"policy.algorithm={algorithm}"])
    assert chosen.policy.algorithm is algorithm


@pytest.mark.parametrize("algorithm", Algorithm)
def test_a_dispatched_call_brings_back_the_algorithms_own_settings(algorithm: Algorithm, tmp_path: Path):
    """What a GPU pool's worker gets is JSON: the settings come back as the same class."""
    config, store = configure("smoke", algorithm=algorithm, overrides=[]), Store(str(tmp_path))

    def stored(contract: type[Row] | type[FolderContract]) -> Any:
        name = contract.contract_id()
        return store.stored(contract, Artifact(contract=name, path=f"{name}/abc", digest="d1", rows=0))

    given: dict[str, Any] = {"optimization": config.policy, "training": config.training, "seed": 1}
    given["policy"] = stored(PolicyCheckpoint)
    if isinstance(config.policy, LearningFromPairs):
        step: Step[..., Any] = optimize_by_preferences
        given["comparisons"] = stored(Comparison)
    else:
        step = optimize_policy
        judged = configure("smoke", algorithm=algorithm, overrides=["policy.score_source=gold_judge"])
        given["demonstrations"] = stored(Demonstration)
        given |= {"reward_model": stored(RewardCheckpoint), "other_scorer": judged.other_scorer()}
    with use_store(store):
        back = step.decode(json.loads(json.dumps(step.encode(step.bind(**given)))))
        assert step.key(**back) == step.key(**given)
    assert step.encode(back) == step.encode(given)
    assert type(back["optimization"]) is type(config.policy)
    assert back["optimization"] == config.policy


def test_where_heavy_steps_run(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("ALMOST_PLACEMENT", raising=False)
    assert configure("smoke").placement.heavy is Target.INLINE
    monkeypatch.setenv("ALMOST_PLACEMENT", "pool")
    assert configure("smoke").placement.heavy is Target.POOL
    assert configure("smoke", overrides=["placement.heavy=inline"]).placement.heavy is Target.INLINE
    monkeypatch.setenv("ALMOST_PLACEMENT", "moon")
    with pytest.raises(ConfigError, match="ALMOST_PLACEMENT is 'moon'; it can be inline or pool"):
        configure("smoke")


def test_placement_reads_the_environment_anew(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ALMOST_PLACEMENT", "pool")
    assert Placement().heavy is Target.POOL
    monkeypatch.delenv("ALMOST_PLACEMENT")
    assert Placement().heavy is Target.INLINE
