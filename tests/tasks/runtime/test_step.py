"""@step without Prefect: keys, outputs, damage, lookup, stage range, provenance; then once under Prefect."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from data_contracts.config.run_config import RunConfig
from data_contracts.errors import AlmostError, ConfigError, ContractError, EngineError, JobError, TransientJobError
from data_contracts.handles import ModelHandle
from data_contracts.store.artifact import Artifact
from data_contracts.store.artifact_store import Store
from data_contracts.tables.row import Row
from tasks.runtime import step_context
from tasks.runtime.context import add_startup, count, job_folder
from tasks.runtime.run_record import RunRecord, recording
from tasks.runtime.stage_range import (
    StageName,
    StageRange,
    StageReached,
    check_reached,
    covering,
    require_found,
    stage_named,
)
from tasks.runtime.step import NotInStoreError, Outputs, lookup_only, step


class Numbers(Row, table="numbers", key="number_id"):
    number_id: str
    value: int


class Squares(Numbers, table="squares"):
    """Numbers times themselves."""


class Both(Outputs):
    """Numbers and their squares."""

    numbers: Artifact[Numbers]
    squares: Artifact[Squares]


CALLS: list[str] = []


def table(contract: type[Row], values: list[int]) -> pa.Table:
    return contract.from_rows([{"number_id": f"n{place}", "value": value} for place, value in enumerate(values)])


@step(version="1")
def make_numbers(size: int, seed: int = 1) -> Artifact[Numbers]:
    """Numbers from seed."""
    CALLS.append("make_numbers")
    count(made=size)
    add_startup(0.0)
    return write(Numbers, table(Numbers, list(range(seed, seed + size))))


@step(version="1", run_name="{kind}")
def square_numbers(numbers: Artifact[Numbers], kind: str = "plain") -> Both:
    """Numbers and their squares."""
    CALLS.append("square_numbers")
    values = read(Numbers, numbers)["value"].to_pylist()
    (job_folder("scratch") / "file").write_text("left over")
    return Both(
        numbers=write(Numbers, table(Numbers, values)), squares=write(Squares, table(Squares, [v * v for v in values]))
    )


@pytest.fixture(autouse=True)
def _no_calls() -> None:
    CALLS.clear()


# --- keys and outputs -------------------------------------------------------------------------------------------


def test_a_step_is_computed_once_per_input(compute: Callable[..., Any]):
    first = compute(make_numbers, 3)
    assert read(Numbers, first)["value"].to_pylist() == [1, 2, 3]
    assert compute(make_numbers, 3) == compute(make_numbers, size=3, seed=1) == first
    assert CALLS == ["make_numbers"]
    assert compute(make_numbers, 3, seed=2) != first
    assert CALLS == ["make_numbers"] * 2


def test_several_outputs_come_back_by_name(compute: Callable[..., Any], store: Store):
    both = compute(square_numbers, compute(make_numbers, 3))
    assert isinstance(both, Both)
    assert both.squares.contract == "squares@1"
    assert read(Squares, both.squares)["value"].to_pylist() == [1, 4, 9]
    assert both.numbers.key == both.squares.key
    assert not list((store.scratch / "jobs").iterdir()), "the job folder of a finished step is gone"


def test_the_plain_function_needs_a_step_around_it(store: Store):
    with pytest.raises(AlmostError, match="works inside a step only"):
        make_numbers.fn(3)


def test_without_a_store_steps_say_so():
    with pytest.raises(AlmostError, match="no store is open"):
        make_numbers.find(3)


def test_labels_and_descriptions(store: Store):
    assert make_numbers.label({"size": 3}) == "make_numbers"
    assert square_numbers.label({"kind": "fine"}) == "square_numbers-fine"
    assert make_numbers.__doc__ == "Numbers from seed."


def test_what_a_step_must_return():
    with pytest.raises(TypeError, match="a step returns Artifact"):

        @step(version="1")
        def wrong() -> int:
            """Not an artifact."""
            return 1


def test_the_manifest_tells_how_it_was_made(compute: Callable[..., Any], store: Store):
    numbers = compute(make_numbers, 3)
    both = compute(square_numbers, numbers, "fine")
    made = store.manifest(both.squares).provenance
    assert (made.step, made.step_version, made.config) == ("square_numbers", "1", {"kind": "fine"})
    (parent,) = made.parents
    assert (parent.argument, parent.path) == ("numbers", numbers.path)
    assert parent.identity == f"numbers@1:{numbers.digest}"
    assert made.versions["pyarrow"] == pa.__version__
    cost = store.cost(numbers)
    assert cost is not None
    assert cost.counters == {"made": 3.0}
    assert cost.working_s >= 0


def test_one_damaged_output_of_two_is_rebuilt_with_the_same_bytes(
    compute: Callable[..., Any], store: Store, caplog: pytest.LogCaptureFixture
):
    both = compute(square_numbers, compute(make_numbers, 3))
    (part,) = store.materialise(both.squares)
    part.write_bytes(b"spoilt")
    assert square_numbers.find(compute(make_numbers, 3)) is None
    again = compute(square_numbers, compute(make_numbers, 3))
    assert again == both
    assert CALLS == ["make_numbers", "square_numbers", "square_numbers"]
    assert "rebuilt with the same bytes" in caplog.text


def test_a_step_that_fails_leaves_no_manifest_and_keeps_its_job_folder(compute: Callable[..., Any], store: Store):
    @step(version="1")
    def fails(size: int) -> Both:
        """Fails between its outputs."""
        (job_folder("train") / "checkpoint").write_text("half way")
        numbers = write(Numbers, table(Numbers, [size]))
        raise JobError(f"after {numbers.rows}")

    with pytest.raises(JobError):
        compute(fails, 3)
    assert fails.find(3) is None
    (folder,) = (store.scratch / "jobs").iterdir()
    assert (folder / "checkpoint").read_text() == "half way"


# --- lookup and stage range -------------------------------------------------------------------------------------


def test_lookup_finds_or_raises_and_computes_nothing(compute: Callable[..., Any], store: Store):
    record = RunRecord()
    with lookup_only(), recording(record):
        with pytest.raises(NotInStoreError, match="make_numbers: the store has no verified outputs"):
            make_numbers(3)
        assert CALLS == []
    numbers = compute(make_numbers, 3)
    with lookup_only(), recording(record):
        assert make_numbers(3) == numbers
        assert make_numbers.submit(3).result() == numbers
    assert CALLS == ["make_numbers"]
    assert [entry.stage for entry in record.stages] == ["make_numbers"] * 2
    assert (record.stages[0].rows, record.stages[0].artifacts) == (3, {numbers.path: 3})


def test_until_stops_before_the_first_step_behind_it():
    with covering(StageRange(until=StageName.RESPONSES)):
        for inside in ("build_tiny_world", "mine_queries", "sample_responses"):
            check_reached(inside)
        for behind in ("rank_comparisons", "train_reward_model", "optimize_policy", "judge_model_by_gold"):
            with pytest.raises(StageReached, match="responses"):
                check_reached(behind)
    check_reached("optimize_policy")


def test_from_asks_that_earlier_steps_are_there():
    with covering(StageRange(from_=StageName.COMPARISONS)):
        require_found("rank_comparisons")
        require_found("optimize_policy")
        with pytest.raises(ConfigError, match="--from comparisons: the outputs of mine_queries are not in the store"):
            require_found("mine_queries")
    require_found("mine_queries")


def test_stage_names_and_ranges_are_checked():
    assert stage_named("--until", None) is None
    assert stage_named("--until", "sft") is StageName.SFT
    with pytest.raises(ConfigError, match="--until lunch: unknown stage; known: world, queries"):
        stage_named("--until", "lunch")
    StageRange(StageName.SFT, StageName.SFT)
    with pytest.raises(ConfigError, match="--from policy lies behind --until queries"):
        StageRange(StageName.QUERIES, StageName.POLICY)


def test_every_step_of_the_flow_belongs_to_a_stage():
    from tasks.runtime.stage_range import STEPS
    from tasks.runtime.step_lock import all_steps

    named = [name for names in STEPS.values() for name in names]
    assert sorted(named) == sorted(all_steps()), "--until and --from do not know every step"


# --- seeds ------------------------------------------------------------------------------------------------------


def test_a_new_data_seed_does_not_retrain_the_ladder():
    from data_contracts.config.profiles import load_profile
    from data_contracts.folder_contracts import TokenizerFiles
    from data_contracts.tables.documents import Document
    from tasks.feedback.mine_queries import mine_queries
    from tasks.tiny_world.pretrain_model import pretrain_model

    def handle(contract: Any, digest: str) -> Any:
        return Artifact(contract=contract.contract_id(), path="x/y", digest=digest, rows=1)

    def keys(config: RunConfig) -> tuple[str, str]:
        assert config.pretraining is not None
        ladder = pretrain_model.key(
            "small", handle(Document, "d"), handle(TokenizerFiles, "t"), config.pretraining.sizes["small"],
            config.pretraining, config.training, config.seeds.ladder,
        )  # fmt: skip
        model = ModelHandle(name="m", digest="m")
        return ladder, mine_queries.key(model, model, model, config.mining, config.engine, config.seeds.data)

    base, fresh = keys(load_profile("smoke")), keys(load_profile("smoke", ["seeds.data=7"]))
    assert base[0] == fresh[0]
    assert base[1] != fresh[1]
    assert keys(load_profile("smoke", ["seeds.ladder=7"]))[0] != base[0]
    faster = keys(load_profile("smoke", ["engine.batch_size=7", "training.save_every=3", "training.timeout_s=9"]))
    assert faster == base, "batch sizes, time limits and checkpoints do not make another model"


# --- under Prefect ----------------------------------------------------------------------------------------------

ATTEMPTS: list[str] = []
ERRORS: dict[str, Exception] = {
    "transient": TransientJobError("killed from outside"),
    "network": ConnectionError("reset"),
    "config": ConfigError("wrong"),
    "contract": ContractError("broken"),
    "engine": EngineError("NaN"),
    "job": JobError("out of memory"),
    "bug": KeyError("oops"),
}


@step(version="1", run_name="{kind}")
def fails_at_first(kind: str) -> Artifact[Numbers]:
    """Fails once with the error of its kind, then succeeds."""
    ATTEMPTS.append(kind)
    if ATTEMPTS.count(kind) == 1:
        raise ERRORS[kind]
    return write(Numbers, table(Numbers, [1]))


@pytest.mark.flow
def test_under_prefect_only_transient_errors_are_retried_and_the_store_is_the_only_truth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from prefect import flow
    from prefect.testing.utilities import prefect_test_harness

    monkeypatch.setattr(fails_at_first, "_task", fails_at_first._task.with_options(retry_delay_seconds=0))
    store = Store(str(tmp_path / "home"))
    outcomes: dict[str, str] = {}
    logging.getLogger("prefect").setLevel(logging.CRITICAL)

    @flow
    def run() -> None:
        with step_context.use_store(store):
            for kind in ERRORS:
                try:
                    fails_at_first(kind)
                    outcomes[kind] = "succeeded"
                except Exception as error:  # noqa: BLE001 - whatever was raised is what is looked at
                    outcomes[kind] = type(error).__name__

    @flow
    def twice() -> list[Any]:
        record = RunRecord()
        with step_context.use_store(store), recording(record):
            first = square_numbers(make_numbers(3))
            beside = [make_numbers.submit(size) for size in (4, 5)]
            rows = [future.result().rows for future in beside]
            (part,) = active_store().materialise(first.squares)
            part.write_bytes(b"spoilt")
            second = square_numbers(make_numbers(3))
        return [first == second, rows, [(entry.stage, entry.cached) for entry in record.stages]]

    with prefect_test_harness(server_startup_timeout=120):
        run()
        same, rows, stages = twice()
    assert outcomes == {
        "transient": "succeeded", "network": "succeeded", "config": "ConfigError", "contract": "ContractError",
        "engine": "EngineError", "job": "JobError", "bug": "KeyError",
    }  # fmt: skip
    assert {kind: ATTEMPTS.count(kind) for kind in ERRORS} == {
        "transient": 2, "network": 2, "config": 1, "contract": 1, "engine": 1, "job": 1, "bug": 1,
    }  # fmt: skip
    assert same
    assert rows == [4, 5]
    assert stages == [
        ("make_numbers", False), ("square_numbers-plain", False), ("make_numbers", False), ("make_numbers", False),
        ("make_numbers", True), ("square_numbers-plain", False),
    ]  # fmt: skip
    assert CALLS.count("square_numbers") == 2
    assert CALLS.count("make_numbers") == 3
