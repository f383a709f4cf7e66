"""Conversations as columns, the home, and training logs: the small shapes that everything shares."""

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_contracts.conversation import Role, Turn
from data_contracts.errors import ContractError
from data_contracts.store import home
from data_contracts.store.home import PROJECT_ROOT, home_url
from data_contracts.tables.training_conversations import TrainingConversation
from data_contracts.tables.training_log import TrainingLogEntry, training_log_entries

TEXT = st.text(st.characters(codec="utf-8"))


def said(*turns: Turn) -> TrainingConversation:
    return TrainingConversation(row_id="r1", context=turns, response="Yes.")


@given(st.lists(st.builds(Turn, st.sampled_from(Role), TEXT), min_size=1))
def test_a_conversation_survives_its_column(turns: list[Turn]):
    row = said(*turns)
    assert list(TrainingConversation.from_table(TrainingConversation.to_table([row]))) == [row]


def test_an_unknown_role_is_neither_written_nor_read():
    expected = "training_conversations@1: column 'context': 'robot' is no Role; known: human, assistant"
    with pytest.raises(ContractError, match=expected):
        TrainingConversation.to_table([said(Turn("robot", "Hi"))])  # type: ignore[arg-type]
    row = {"row_id": "r1", "context": [{"role": "robot", "text": "Hi"}], "response": "Yes."}
    with pytest.raises(ContractError, match=expected):
        list(TrainingConversation.from_table(pa.Table.from_pylist([row], TrainingConversation.schema())))


def test_the_home_is_the_argument_else_the_environment_else_the_checkout(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.delenv("ALMOST_HOME", raising=False)
    assert home_url() == str(PROJECT_ROOT / ".almost")
    assert (PROJECT_ROOT / "data_contracts").is_dir()
    monkeypatch.setenv("ALMOST_HOME", "s3://bucket/home")
    assert home_url() == "s3://bucket/home"
    monkeypatch.chdir(tmp_path)
    assert home_url("here") == str(tmp_path / "here")
    assert home_url("~/there") == str(Path.home() / "there")
    assert home_url("memory://x") == "memory://x"


def test_the_home_of_an_installed_package_is_in_the_current_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.delenv("ALMOST_HOME", raising=False)
    monkeypatch.setattr(home, "PROJECT_ROOT", tmp_path / "site-packages")
    monkeypatch.chdir(tmp_path)
    assert home_url() == str(tmp_path / ".almost")


def test_a_metric_logged_twice_at_a_step_keeps_its_last_value():
    rows = training_log_entries([(2, {"loss": 1}), (1, {"loss": 3.0, "lr": 0.1}), (2, {"loss": 2.0})])
    assert [(row.step, row.metric, row.value) for row in rows] == [
        (1, "loss", 3.0),
        (1, "lr", 0.1),
        (2, "loss", 2.0),
    ]
    assert TrainingLogEntry.to_table(rows).num_rows == 3
