"""The lock of step sources: what counts as a change, what does not, and what an update asks for."""

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.runtime import locked_code, step_lock
from tasks.runtime.locked_code import locked_digest
from tasks.runtime.step_lock import changed_steps, source_digest, update_lock

STEP = '''"""A step."""
from models.words import shout

from tasks.runtime.step import step


@step(version="1")
def speak(text: str):
    """Say it."""
    return shout(text)  # loudly
'''
WORDS = '"""Words."""\n\n\ndef shout(text: str) -> str:\n    """Loud."""\n    return text.upper()\n'


class FakeStep:
    """What the lock asks of a step."""

    def __init__(self, version: str = "1") -> None:
        self.version, self.jobs = version, ("models.jobs.work",)

    class fn:
        __module__ = "tasks.speak"


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    files = {
        "tasks/speak.py": STEP, "models/words.py": WORDS, "tasks/runtime/step.py": "x = 1\n",
        "models/jobs/work.py": "import models.words\n\nz = 3\n", "models/other.py": "y = 2\n",
    }  # fmt: skip
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    monkeypatch.setattr(step_lock, "ROOT", tmp_path)
    monkeypatch.setattr(step_lock, "LOCK_FILE", tmp_path / "lock.json")
    monkeypatch.setattr(locked_code, "LOCK_FILE", tmp_path / "lock.json")
    monkeypatch.setattr(step_lock, "all_steps", lambda: {"speak": FakeStep()})
    forget()
    yield tmp_path
    forget()


def forget() -> None:
    for cached in (step_lock._tree, step_lock._imports, step_lock._meaning, locked_code._read_lock):
        cached.cache_clear()


def digest() -> str:
    forget()
    return source_digest("tasks.speak", ("models.jobs.work",))


@pytest.mark.parametrize(
    ("name", "old", "new", "changes"),
    [
        ("tasks/speak.py", "shout(text)", "shout(text + '!')", True),
        ("models/words.py", "upper", "lower", True),
        ("models/jobs/work.py", "z = 3", "z = 4", True),
        ("tasks/speak.py", "# loudly", "# very loudly", False),
        ("tasks/speak.py", '"""Say it."""', '"""Say it well."""', False),
        ("tasks/speak.py", "return shout(text)", "return shout(\n        text\n    )", False),
        ("models/words.py", '"""Words."""', '"""Some words."""', False),
        ("models/other.py", "y = 2", "y = 3", False),
        ("tasks/runtime/step.py", "x = 1", "x = 2", False),
    ],
)
def test_what_changes_a_steps_digest(tree: Path, name: str, old: str, new: str, changes: bool):
    before = digest()
    content = (tree / name).read_text()
    assert old in content
    (tree / name).write_text(content.replace(old, new))
    assert (digest() != before) == changes


def edit(tree: Path) -> None:
    (tree / "models/words.py").write_text(WORDS.replace("upper", "lower"))
    forget()


def test_a_step_is_locked_changed_and_excused_with_a_reason(tree: Path):
    assert changed_steps() == {"speak": "is not in the lock"}
    assert locked_digest("speak") == "unlocked"
    assert update_lock(None) == ["speak"]
    forget()
    assert changed_steps() == {}
    assert locked_digest("speak") == digest()
    edit(tree)
    assert changed_steps() == {"speak": "changed under version 1"}
    with pytest.raises(SystemExit, match="speak changed under the same version: raise the version in @step, or run"):
        update_lock(None)
    assert changed_steps() == {"speak": "changed under version 1"}
    update_lock("only the name of a variable")
    assert changed_steps() == {}
    assert lock(tree)["speak"]["same_meaning"] == ["only the name of a variable"]


def test_a_new_version_forgets_the_reasons(tree: Path, monkeypatch: pytest.MonkeyPatch):
    update_lock(None)
    edit(tree)
    update_lock("because")
    monkeypatch.setattr(step_lock, "all_steps", lambda: {"speak": FakeStep("2")})
    assert changed_steps() == {"speak": "has version 2, the lock 1"}
    update_lock(None)
    assert changed_steps() == {}
    assert lock(tree)["speak"] == {"version": "2", "source": digest(), "same_meaning": []}


def test_a_step_that_is_gone_leaves_the_lock(tree: Path, monkeypatch: pytest.MonkeyPatch):
    update_lock(None)
    monkeypatch.setattr(step_lock, "all_steps", dict)
    assert changed_steps() == {"speak": "is in the lock but not in tasks/"}
    update_lock(None)
    assert lock(tree) == {}


def lock(tree: Path) -> dict[str, Any]:
    return json.loads((tree / "lock.json").read_text())


def test_real_steps_reach_their_jobs_and_models():
    forget()
    steps = step_lock.all_steps()
    assert {"mine_queries", "rank_comparisons", "optimize_policy"} <= set(steps)
    reached = step_lock._imports("tasks.feedback.mine_queries")
    assert "models.text.rouge_l_index" in reached
    for name, step in steps.items():
        trains = step.fn.__module__.rsplit(".", 1)[-1] in (
            "pretrain_model", "train_reward_model", "finetune_policy", "optimize_policy", "optimize_by_preferences",
        )  # fmt: skip
        assert bool(step.jobs) == trains, f"{name}: a step that starts a job names its module in @step(jobs=...)"
