"""The form in the UI, and what its fields mean. No server is needed."""

from typing import Any

import pytest
from jsonschema import Draft202012Validator
from prefect.utilities.callables import parameter_schema

from data_contracts.errors import ConfigError
from data_contracts.profiles import profile_names
from data_contracts.sections import Placement, Target
from flows.almost import almost
from flows.parameters import configure

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
        "Stop after",
        "Start from",
        "Overrides",
        "Home",
    ]
    assert all(field["description"] for field in FIELDS.values())


def test_profile_is_a_drop_down_or_a_path():
    names, path = FIELDS["profile"]["anyOf"]
    assert names["enum"] == profile_names()
    assert path == {"type": "string", "title": "Path"}


def test_untouched_form_is_the_profile_file():
    defaults = {name: field["default"] for name, field in FIELDS.items()}
    assert accepts(**defaults)
    filled = {name: value for name, value in defaults.items() if value not in (None, [])}
    assert filled == {"profile": "tiny"}
    assert configure("smoke", None, None, ()) == configure("smoke", None, None, [])


@pytest.mark.parametrize(
    "wrong",
    [
        {"queries": 0},
        {"queries": "many"},
        {"data_seed": -1},
        {"stop_after": "world tour"},
        {"overrides": "a.b=1"},
        {"home": 3},
    ],
)
def test_wrong_fields_are_refused_before_a_run_starts(wrong: dict[str, Any]):
    assert accepts(profile="smoke")
    assert not accepts(profile="smoke", **wrong)


def test_filled_fields_come_before_overrides():
    config = configure("smoke", 7, 33, ["mining.queries=44"])
    assert (config.seeds.data, config.mining.queries) == (7, 44)
    with pytest.raises(ConfigError, match="unknown section 'typo'"):
        configure("smoke", None, None, ["typo.x=1"])


def test_where_heavy_stages_run(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("ALMOST_PLACEMENT", raising=False)
    assert configure("smoke", None, None, ()).placement.heavy is Target.INLINE
    monkeypatch.setenv("ALMOST_PLACEMENT", "pool")
    assert configure("smoke", None, None, ()).placement.heavy is Target.POOL
    assert configure("smoke", None, None, ["placement.heavy=inline"]).placement.heavy is Target.INLINE
    monkeypatch.setenv("ALMOST_PLACEMENT", "moon")
    with pytest.raises(ConfigError, match="ALMOST_PLACEMENT is 'moon'; it can be inline or pool"):
        configure("smoke", None, None, ())


def test_placement_reads_the_environment_anew(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ALMOST_PLACEMENT", "pool")
    assert Placement().heavy is Target.POOL
    monkeypatch.delenv("ALMOST_PLACEMENT")
    assert Placement().heavy is Target.INLINE
