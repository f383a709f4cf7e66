"""@step without Prefect: keys, outputs, damage, lookup, provenance, calls as data; then once under Prefect."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from data_contracts.config.run_config import RunConfig
from data_contracts.errors import AlmostError, ConfigError, ContractError, EngineError, JobError, TransientJobError
from data_contracts.folder_contracts import PolicyCheckpoint, RewardCheckpoint
from data_contracts.handles import ModelHandle
from data_contracts.rows.row import Row
from data_contracts.rows.rows import Rows, rows_of, stream
from data_contracts.store.artifact import Artifact
from data_contracts.store.artifact_store import Store
from data_contracts.store.stored import Folder, LocalFolder, StoredFolder, StoredRows
from tasks.runtime.context import add_startup, count, current, job_folder, use_store, within
from tasks.runtime.outputs import Outputs
from tasks.runtime.phases import Phase, PhaseRange, PhaseReached
from tasks.runtime.run_record import RunRecord
from tasks.runtime.step import NotInStoreError, step
from tests.tasks.conftest import MADE_BY_A_TEST, prompt


class Number(Row, table="numbers", key="number_id"):
    number_id: str
    value: int


class Square(Number, table="squares"):
    """Numbers times themselves."""


class Both(Outputs):
    """Numbers and their squares."""

    numbers: Rows[Number]
    squares: Rows[Square]


CALLS: list[str] = []


def numbered(values: list[int]) -> Rows[Number]:
    return rows_of(Number, [Number(number_id=f"n{place}", value=value) for place, value in enumerate(values)])


def squares_of(numbers: Rows[Number]) -> Iterator[Square]:
    return (Square(number_id=number.number_id, value=number.value**2) for number in numbers)


@step(version="1", phase=Phase.RESPONSES)
def make_numbers(*, size: int, seed: int = 1) -> Rows[Number]:
    """Numbers from seed."""
    CALLS.append("make_numbers")
    count(made=size)
    add_startup(0.0)
    return numbered(list(range(seed, seed + size)))


@step(version="1", phase=Phase.COMPARISONS, run_name="{kind}")
def square_numbers(*, numbers: Rows[Number], kind: str = "plain") -> Both:
    """Numbers and their squares."""
    CALLS.append("square_numbers")
    (job_folder("scratch") / "file").write_text("left over")
    return Both(
        numbers=numbered([number.value for number in numbers]), squares=stream(Square, lambda: squares_of(numbers))
    )


@step(version="1")
def score_with(*, model: Folder[PolicyCheckpoint], numbers: list[Rows[Number]]) -> Folder[RewardCheckpoint]:
    """A model from another."""
    CALLS.append("score_with")
    return LocalFolder(RewardCheckpoint, model.local())


@pytest.fixture(autouse=True)
def _no_calls() -> None:
    CALLS.clear()


def values(rows: Rows[Any]) -> list[int]:
    return [row.value for row in rows]


def model_folder(folder: Path) -> Path:
    folder.mkdir()
    for name in ("config.json", "tokenizer_config.json", "model.safetensors"):
        (folder / name).write_text("{}")
    return folder


# --- declaration ------------------------------------------------------------------------------------------------


def test_a_step_s_arguments_are_keyword_only():
    with pytest.raises(TypeError, match="step wrong: argument 'size' is positional; begin the signature with"):

        @step(version="1")
        def wrong(size: int) -> Rows[Number]:
            """Positional."""
            return numbered([size])

    for variadic in (lambda *sizes: numbered([]), lambda **sizes: numbered([])):
        with pytest.raises(TypeError, match="argument 'sizes' is positional"):
            step(version="1")(variadic)
    with pytest.raises(TypeError, match="positional"):
        make_numbers.fn(3)  # pyright: ignore[reportCallIssue]


def test_what_a_step_must_return():
    with pytest.raises(
        TypeError, match=r"a step returns Rows\[...\], Folder\[...\] or Outputs of them, not <class 'int'>"
    ):

        @step(version="1")
        def wrong() -> int:
            """Not rows."""
            return 1

    class Wrong(Outputs):
        numbers: Rows[Number]
        size: int

    with pytest.raises(TypeError, match="a step returns Rows"):

        @step(version="1")
        def wrong_too() -> Wrong:
            """Rows and something else."""
            return Wrong(numbers=numbered([1]), size=1)


def test_labels_and_descriptions(store: Store):
    assert make_numbers.label({"size": 3}) == "make_numbers"
    assert square_numbers.label({"kind": "fine"}) == "square_numbers-fine"
    assert make_numbers.__doc__ == "Numbers from seed."


# --- without a run ----------------------------------------------------------------------------------------------


def test_the_plain_function_works_without_a_store():
    numbers = make_numbers.fn(size=3)
    assert values(numbers) == [1, 2, 3]
    both = square_numbers.fn(numbers=numbers)
    assert (values(both.numbers), values(both.squares)) == ([1, 2, 3], [1, 4, 9])


def test_without_a_store_steps_say_so():
    with pytest.raises(AlmostError, match="no store is open"):
        make_numbers.find(size=3)
    with pytest.raises(AlmostError, match="no store is open"):
        make_numbers(size=3)


# --- keys and outputs -------------------------------------------------------------------------------------------


def test_a_step_is_computed_once_per_input(compute: Callable[..., Any]):
    first = compute(make_numbers, size=3)
    assert isinstance(first, StoredRows)
    assert values(first) == [1, 2, 3]
    assert compute(make_numbers, size=3) == compute(make_numbers, size=3, seed=1) == first
    assert CALLS == ["make_numbers"]
    assert compute(make_numbers, size=3, seed=2) != first
    assert CALLS == ["make_numbers"] * 2


def test_several_outputs_come_back_by_name(compute: Callable[..., Any], store: Store):
    both = compute(square_numbers, numbers=compute(make_numbers, size=3))
    assert isinstance(both, Both)
    assert isinstance(both.squares, StoredRows)
    assert isinstance(both.numbers, StoredRows)
    assert both.squares.artifact.contract == "squares@1"
    assert values(both.squares) == [1, 4, 9]
    assert both.numbers.artifact.key == both.squares.artifact.key
    assert not list((store.scratch / "jobs").iterdir()), "the job folder of a finished step is gone"


def test_a_folder_of_a_step_goes_into_the_store(compute: Callable[..., Any], store: Store, tmp_path: Path):
    artifact = store.commit_folder(PolicyCheckpoint, "k" * 32, model_folder(tmp_path / "model"), MADE_BY_A_TEST)
    policy, numbers = StoredFolder(PolicyCheckpoint, artifact, store), compute(make_numbers, size=1)
    scorer = compute(score_with, model=policy, numbers=[numbers])
    assert isinstance(scorer, StoredFolder)
    assert scorer.artifact.contract == "reward_model@1"
    assert (scorer.local() / "model.safetensors").read_text() == "{}"
    parents = store.manifest(scorer.artifact).provenance.parents
    assert [(parent.argument, parent.path) for parent in parents] == [
        ("model", artifact.path), ("numbers", numbers.artifact.path),
    ]  # fmt: skip


# --- calls as data ----------------------------------------------------------------------------------------------


def test_a_call_travels_as_json_and_is_the_same_call(compute: Callable[..., Any], store: Store):
    arguments = square_numbers.bind(numbers=compute(make_numbers, size=3))
    sent = square_numbers.encode(arguments)
    assert sent == {"numbers": arguments["numbers"].artifact.model_dump(mode="json"), "kind": "plain"}
    received = square_numbers.decode(sent)
    assert received == arguments
    assert square_numbers.key(**received) == square_numbers.key(**arguments)
    assert values(received["numbers"]) == [1, 2, 3]


def test_a_call_with_an_artifact_of_another_contract_is_refused(store: Store, tmp_path: Path):
    reward = store.commit_folder(RewardCheckpoint, "k" * 32, model_folder(tmp_path / "model"), MADE_BY_A_TEST)
    with pytest.raises(ContractError, match="is a reward_model@1, not a policy@1"):
        score_with.decode({"model": reward.model_dump(mode="json"), "numbers": []})
    with pytest.raises(ContractError, match="is a reward_model@1, not a numbers@1"):
        score_with.decode({"numbers": [reward.model_dump(mode="json")]})


# --- damage and failure -----------------------------------------------------------------------------------------


def test_the_manifest_tells_how_it_was_made(compute: Callable[..., Any], store: Store):
    numbers = compute(make_numbers, size=3)
    both = compute(square_numbers, numbers=numbers, kind="fine")
    made = store.manifest(both.squares.artifact).provenance
    assert (made.step, made.step_version, made.config) == ("square_numbers", "1", {"kind": "fine"})
    (parent,) = made.parents
    assert (parent.argument, parent.path) == ("numbers", numbers.artifact.path)
    assert parent.identity == f"numbers@1:{numbers.artifact.digest}"
    assert made.versions["pyarrow"] == pa.__version__
    cost = store.cost(numbers.artifact)
    assert cost is not None
    assert cost.counters == {"made": 3.0}
    assert cost.working_s >= 0


def test_one_damaged_output_of_two_is_rebuilt_with_the_same_bytes(
    compute: Callable[..., Any], store: Store, caplog: pytest.LogCaptureFixture
):
    both = compute(square_numbers, numbers=compute(make_numbers, size=3))
    (part,) = both.squares.paths
    part.write_bytes(b"spoilt")
    assert square_numbers.find(numbers=compute(make_numbers, size=3)) is None
    again = compute(square_numbers, numbers=compute(make_numbers, size=3))
    assert again == both
    assert CALLS == ["make_numbers", "square_numbers", "square_numbers"]
    assert "rebuilt with the same bytes" in caplog.text


def test_a_step_that_fails_leaves_no_manifest_and_keeps_its_job_folder(compute: Callable[..., Any], store: Store):
    @step(version="1")
    def fails(*, size: int) -> Both:
        """Fails between its outputs."""
        (job_folder("train") / "checkpoint").write_text("half way")
        return Both(numbers=numbered([size]), squares=stream(Square, no_squares))

    def no_squares() -> Iterator[Square]:
        raise JobError("after the numbers")

    with pytest.raises(JobError):
        compute(fails, size=3)
    assert fails.find(size=3) is None
    (folder,) = (store.scratch / "jobs").iterdir()
    assert (folder / "checkpoint").read_text() == "half way"


# --- lookup and phases ------------------------------------------------------------------------------------------


def test_lookup_finds_or_raises_and_computes_nothing(compute: Callable[..., Any], store: Store):
    record = RunRecord()
    with within(lookup_only=True, record=record):
        with pytest.raises(NotInStoreError, match="make_numbers: the store has no verified outputs"):
            make_numbers(size=3)
        assert CALLS == []
    numbers = compute(make_numbers, size=3)
    with within(lookup_only=True, record=record):
        assert make_numbers(size=3) == numbers
        assert make_numbers.submit(size=3).result() == numbers
    assert CALLS == ["make_numbers"]
    assert [entry.label for entry in record.steps] == ["make_numbers"] * 2
    assert (record.steps[0].rows, record.steps[0].artifacts) == (3, {numbers.artifact.path: 3})


def test_a_step_behind_the_last_phase_is_not_begun_even_if_it_is_done(compute: Callable[..., Any], store: Store):
    numbers = compute(make_numbers, size=3)
    compute(square_numbers, numbers=numbers)
    with within(phases=PhaseRange(until=Phase.RESPONSES), lookup_only=True):
        assert make_numbers(size=3) == numbers
        with pytest.raises(PhaseReached, match="responses"):
            square_numbers(numbers=numbers)


def test_a_step_before_the_first_phase_is_found_or_refused(compute: Callable[..., Any], store: Store):
    with within(phases=PhaseRange(from_=Phase.COMPARISONS)):
        with pytest.raises(ConfigError, match="--from comparisons: the outputs of make_numbers are not in the store"):
            make_numbers(size=3)
        numbers = compute(make_numbers, size=3)
        with within(lookup_only=True):
            assert make_numbers(size=3) == numbers


# --- seeds ------------------------------------------------------------------------------------------------------


def test_a_new_data_seed_does_not_retrain_the_ladder(store: Store):
    from data_contracts.config.profiles import load_profile
    from data_contracts.folder_contracts import TokenizerFiles
    from data_contracts.tables.documents import Document
    from data_contracts.tables.evaluation_texts import EvaluationText
    from tasks.feedback.mine_queries import mine_queries
    from tasks.tiny_world.pretrain_model import pretrain_model

    def artifact(contract: Any, digest: str) -> Any:
        return Artifact(contract=contract.contract_id(), path="x/y", digest=digest, rows=1)

    documents = StoredRows(Document, artifact(Document, "d"), store)
    tokenizer = StoredFolder(TokenizerFiles, artifact(TokenizerFiles, "t"), store)
    texts = StoredRows(EvaluationText, artifact(EvaluationText, "e"), store)

    def keys(config: RunConfig) -> tuple[str, str]:
        assert config.pretraining is not None
        ladder = pretrain_model.key(
            name="small", documents=documents, tokenizer=tokenizer, size=config.pretraining.sizes["small"],
            pretraining=config.pretraining, training=config.training, seed=config.seeds.ladder,
        )  # fmt: skip
        mined = mine_queries.key(
            seeds=prompt("seed_queries", "Who?"), miner=ModelHandle(name="m", digest="m"), evaluation_texts=texts,
            mining=config.mining, engine=config.engine, seed=config.seeds.data,
        )  # fmt: skip
        return ladder, mined

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
def fails_at_first(*, kind: str) -> Rows[Number]:
    """Fails once with the error of its kind, then succeeds."""
    ATTEMPTS.append(kind)
    if ATTEMPTS.count(kind) == 1:
        raise ERRORS[kind]
    return numbered([1])


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
        with use_store(store):
            for kind in ERRORS:
                try:
                    fails_at_first(kind=kind)
                    outcomes[kind] = "succeeded"
                except Exception as error:  # noqa: BLE001 - whatever was raised is what is looked at
                    outcomes[kind] = type(error).__name__

    @flow
    def twice() -> list[Any]:
        record = RunRecord()
        with use_store(store), within(record=record):
            first = square_numbers(numbers=make_numbers(size=3))
            beside = [make_numbers.submit(size=size) for size in (4, 5)]
            rows = [len(future.result()) for future in beside]
            (part,) = current().open_store().materialise(first.squares.artifact)
            part.write_bytes(b"spoilt")
            second = square_numbers(numbers=make_numbers(size=3))
        return [first == second, rows, [(entry.label, entry.cached) for entry in record.steps]]

    with prefect_test_harness(server_startup_timeout=120):
        run()
        same, rows, steps = twice()
    assert outcomes == {
        "transient": "succeeded", "network": "succeeded", "config": "ConfigError", "contract": "ContractError",
        "engine": "EngineError", "job": "JobError", "bug": "KeyError",
    }  # fmt: skip
    assert {kind: ATTEMPTS.count(kind) for kind in ERRORS} == {
        "transient": 2, "network": 2, "config": 1, "contract": 1, "engine": 1, "job": 1, "bug": 1,
    }  # fmt: skip
    assert same
    assert rows == [4, 5]
    assert steps == [
        ("make_numbers", False), ("square_numbers-plain", False), ("make_numbers", False), ("make_numbers", False),
        ("make_numbers", True), ("square_numbers-plain", False),
    ]  # fmt: skip
    assert CALLS.count("square_numbers") == 2
    assert CALLS.count("make_numbers") == 3
