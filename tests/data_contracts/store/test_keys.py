"""Keys of steps: what enters them, what stays out, and that everything that enters changes them."""

from collections.abc import Iterator
from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from data_contracts.config.profiles import load_profile
from data_contracts.config.run_config import RunConfig
from data_contracts.handles import FileHandle, ModelHandle, PromptHandle
from data_contracts.store.artifact import Artifact
from data_contracts.store.keys import KEY_LENGTH, canonical_json, file_digest, identity, section_fields, step_key

# Fields that change how fast a step runs or how it is watched, never what it makes.
OUT_OF_KEY = {
    *(f"evaluation.judge.{name}" for name in ("model", "prompt", "questions_file", "pairs")),
    "evaluation.judge.price_per_million_read",
    "evaluation.judge.price_per_million_written",
    "evaluation.judge.topic_questions",
    "engine.batch_size",
    "engine.device",
    "engine.base_url",
    "engine.api_key_env",
    "engine.concurrency",
    "engine.request_timeout_s",
    "engine.request_retries",
    "engine.server_executable",
    "engine.server_arguments",  # in the key where a server is started: test_open_engine
    "engine.server_start_s",
    "engine.failed_share",
    "reward.micro_batch_size",
    "sft.micro_batch_size",
    "policy.micro_batch_size",
    "policy.generation_batch_size",
    "evaluation.preference_files",
    "evaluation.preference_rows",
    "evaluation.overlap_files",
    "pretraining.micro_batch_tokens",
    "pretraining.layout",  # what follows from it is in the key: zero_stage, processes, bf16 of the ladder's training
    "training.threads_per_process",
    "training.gradient_checkpointing",
    "training.save_every",
    "training.keep_checkpoints",
    "training.use_cpu",
    "training.timeout_s",
    "training.report_to",
}


def key(**arguments: Any) -> str:
    return step_key("step", "1", arguments)


def test_a_key_is_hex_of_fixed_length_and_stable():
    assert key(seed=1) == key(seed=1)
    assert len(key(seed=1)) == KEY_LENGTH
    int(key(seed=1), 16)


def test_name_version_argument_names_and_values_all_count():
    keys = {
        step_key("step", "1", {"seed": 1}),
        step_key("other", "1", {"seed": 1}),
        step_key("step", "2", {"seed": 1}),
        step_key("step", "1", {"sead": 1}),
        step_key("step", "1", {"seed": 2}),
        step_key("step", "1", {"seed": "1"}),
        step_key("step", "1", {"seed": None}),
        step_key("step", "1", {}),
    }
    assert len(keys) == 8


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), JSON, min_size=2, max_size=5), st.randoms(use_true_random=False))
def test_the_order_of_dictionaries_does_not_count(content: dict[str, Any], random: Any):
    items = list(content.items())
    random.shuffle(items)
    assert key(section=content) == key(section=dict(items))
    assert step_key("s", "1", content) == step_key("s", "1", dict(items))


@given(st.lists(st.integers(), min_size=2, unique=True))
def test_the_order_of_lists_counts(values: list[int]):
    assert key(rows=values) != key(rows=values[::-1])


def test_tuples_and_lists_are_the_same_sequence():
    assert key(files=(1, 2)) == key(files=[1, 2])


@pytest.mark.parametrize("value", [Path("/data/x"), float("nan"), pa.table({"a": [1]}), b"bytes", {1, 2}, object()])
def test_what_has_no_identity_is_refused(value: object):
    with pytest.raises(TypeError):
        key(argument=value)
    with pytest.raises(TypeError):
        key(argument=[{"deep": value}])


@pytest.mark.parametrize("value", [float("inf"), float("-inf")])
def test_infinity_is_refused(value: float):
    with pytest.raises((TypeError, ValueError)):
        key(argument=value)


def test_fractions_and_enums_count_by_value():
    class Colour(StrEnum):
        RED = "red"

    assert identity(Fraction(1, 2)) == "1/2"
    assert key(limit=Fraction(1, 2)) != key(limit=Fraction(1, 3))
    assert key(colour=Colour.RED) == key(colour="red")


# --- handles ----------------------------------------------------------------------------------------------------


def test_an_artifact_counts_by_content_not_by_place():
    here = Artifact(contract="queries@1", path="queries@1/abc", digest="d1", rows=3)
    assert key(queries=here) == key(queries=here.model_copy(update={"path": "queries@1/def", "rows": 4}))
    assert key(queries=here) != key(queries=here.model_copy(update={"digest": "d2"}))
    assert key(queries=here) != key(queries=here.model_copy(update={"contract": "queries@2"}))
    assert here.key == "abc"


def test_a_model_counts_by_weights():
    model = ModelHandle(name="tiny:small", digest="w1", folder="/here")
    moved = ModelHandle(name="/there/small", digest="w1", artifact="checkpoint@1/abc")
    assert key(model=model) == key(model=moved)
    assert key(model=model) != key(model=model.model_copy(update={"digest": "w2"}))


def test_a_prompt_counts_by_text(tmp_path: Path):
    paths = [tmp_path / name for name in ("a.txt", "b.txt", "c.txt")]
    for path, content in zip(paths, ("same", "same", "other"), strict=True):
        path.write_text(content)
    first, second, third = (PromptHandle.read("hhh", path) for path in paths)
    assert key(prompts=first) == key(prompts=second) != key(prompts=third)


def test_a_file_counts_by_name_and_content(tmp_path: Path):
    (tmp_path / "a.csv").write_bytes(b"1,2\n")
    digest = file_digest(tmp_path / "a.csv")
    file = FileHandle(name="a.csv", digest=digest, path=str(tmp_path / "a.csv"))
    assert key(file=file) == key(file=file.model_copy(update={"path": "/elsewhere/a.csv"}))
    (tmp_path / "a.csv").write_bytes(b"1,3\n")
    assert digest != file_digest(tmp_path / "a.csv")


# --- every field of a run's configuration -----------------------------------------------------------------------


def fields_of(model: BaseModel, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], BaseModel, str]]:
    """(path, owner, name) of every field that is not a section itself."""
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from fields_of(value, (*path, name))
        else:
            yield (*path, name), model, name


def altered(value: Any) -> Any:
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case str():
            return f"{value}x"
        case None:
            return 1
        case tuple():
            return (*value, "x")
        case dict():
            return {**value, "x": 1}
    raise AssertionError(value)


def replaced(model: BaseModel, path: tuple[str, ...], value: Any) -> BaseModel:
    head, *rest = path
    inner = value if not rest else replaced(getattr(model, head), tuple(rest), value)
    return model.model_copy(update={head: inner})


CONFIG = load_profile("smoke")
OWN_STEPS = {("evaluation", name) for name in ("benchmarks", "judge", "reward_card")}
PATHS = [".".join(path) for path, _, _ in fields_of(CONFIG)]


@pytest.mark.parametrize("path", PATHS)
def test_a_field_changes_the_key_unless_it_is_declared_out(path: str):
    steps = tuple(path.split("."))
    value: Any = CONFIG
    for step in steps:
        value = getattr(value, step)
    changed = replaced(CONFIG, steps, altered(value))
    before, after = (part_of(config, steps) for config in (CONFIG, changed))
    assert (key(config=after) == key(config=before)) == (path in OUT_OF_KEY)


def part_of(config: Any, path: tuple[str, ...]) -> Any:
    """What a step that reads this field gets: the whole configuration, or a sub-section with steps of its own."""
    return getattr(config.evaluation, path[1]) if path[:2] in OWN_STEPS else config


def test_the_fields_that_stay_out_exist():
    assert set(PATHS) >= OUT_OF_KEY
    assert "engine" in section_fields(RunConfig)


def test_canonical_json_sorts_and_keeps_unicode():
    assert canonical_json({"b": 1, "a": ["é", 0.1]}) == '{"a":["é",0.1],"b":1}'
