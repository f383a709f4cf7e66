"""The lock of the steps' code: what counts as a change, what does not, and what an update asks for."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tasks.runtime import locked_code, reached_code, step_lock
from tasks.runtime.locked_code import locked_digest
from tasks.runtime.reached_code import digest_of, reached
from tasks.runtime.step_lock import changed_steps, update_lock

FILES = {
    "tasks/feedback/speak.py": '''"""A step."""
import models.sounds as sounds
from models.words import shout

from tasks.runtime.step import step

LOUD = 2


@step(version="1")
def speak(text: str):
    """Say it."""
    from models.voices import Voice

    return Voice(sounds.pitch(text)).say(shout(text) * LOUD)  # loudly


def whisper(text: str):
    return text.lower()
''',
    "models/words.py": '"""Words."""\n\n\ndef shout(text: str) -> str:\n    """Loud."""\n    return text.upper() + END\n\n\n'
    'END = "!"\n\n\ndef mumble(text):\n    return text[:1]\n',
    "models/sounds.py": 'def pitch(text):\n    return len(text)\n\n\ndef noise():\n    return 0\n\n\nREGISTER = []\nREGISTER.append(pitch)\n',
    "models/voices.py": "class Voice:\n    def __init__(self, pitch):\n        self.pitch = pitch\n\n    def say(self, text):\n        return text\n",
    "models/jobs/work.py": "from models.words import mumble\n\n\ndef main():\n    return mumble('x')\n\n\ndef other():\n    return 1\n",
    "tasks/runtime/step.py": "def step(version):\n    return lambda fn: fn\n",
}  # fmt: skip
JOBS = ("models.jobs.work",)


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    fn = SimpleNamespace(__module__="tasks.feedback.speak", __name__="speak")
    fake: Any = SimpleNamespace(fn=fn, declared=SimpleNamespace(version="1", jobs=JOBS))
    monkeypatch.setattr(reached_code, "ROOT", tmp_path)
    monkeypatch.setattr(locked_code, "LOCK_FILE", tmp_path / "lock.json")
    monkeypatch.setattr(step_lock, "all_steps", lambda: {"speak": fake})
    forget()
    yield tmp_path
    forget()


def forget() -> None:
    reached_code.forget()
    locked_code._kept_lock.cache_clear()


def digest() -> str:
    forget()
    return digest_of("tasks.feedback.speak", "speak", JOBS)


def change(tree: Path, name: str, old: str, new: str) -> None:
    path = tree / name
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def test_names_are_followed_within_the_module_through_imports_and_into_jobs(tree: Path):
    names = {name for name in reached("tasks.feedback.speak", "speak", JOBS) if name[1]}
    assert names == {
        ("tasks.feedback.speak", "speak"), ("tasks.feedback.speak", "LOUD"), ("models.words", "shout"),
        ("models.words", "END"), ("models.sounds", "pitch"), ("models.sounds", "REGISTER"), ("models.voices", "Voice"),
        ("models.jobs.work", "main"), ("models.words", "mumble"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("tasks/feedback/speak.py", "shout(text) * LOUD", "shout(text)"),
        ("tasks/feedback/speak.py", "LOUD = 2", "LOUD = 3"),
        ("models/words.py", "upper", "title"),
        ("models/words.py", '"!"', '"?"'),
        ("models/words.py", "[:1]", "[:2]"),
        ("models/sounds.py", "len(text)", "0"),
        ("models/sounds.py", "REGISTER.append(pitch)", "REGISTER.append(noise)"),
        ("models/voices.py", "return text", "return text + text"),
        ("models/jobs/work.py", "mumble('x')", "mumble('y')"),
    ],
)
def test_a_change_of_what_is_reached_counts(tree: Path, name: str, old: str, new: str):
    before = digest()
    change(tree, name, old, new)
    assert digest() != before


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("tasks/feedback/speak.py", "# loudly", "# very loudly"),
        ("tasks/feedback/speak.py", '"""Say it."""', '"""Say it well."""'),
        ("tasks/feedback/speak.py", "text.lower()", "text"),
        (
            "tasks/feedback/speak.py",
            "return Voice(sounds.pitch(text))",
            "return Voice(\n        sounds.pitch(text)\n    )",
        ),
        ("models/words.py", '"""Words."""', '"""Some words."""'),
        ("models/sounds.py", "return 0", "return 1"),
        ("models/jobs/work.py", "return 1", "return 2"),
        ("tasks/runtime/step.py", "lambda fn: fn", "lambda fn: fn or None"),
    ],
)
def test_a_change_of_anything_else_does_not(tree: Path, name: str, old: str, new: str):
    before = digest()
    change(tree, name, old, new)
    assert digest() == before


def test_moving_a_function_to_another_file_changes_nothing(tree: Path):
    before = digest()
    (tree / "models/speech.py").write_text((tree / "models/words.py").read_text())
    (tree / "models/words.py").unlink()
    change(tree, "tasks/feedback/speak.py", "models.words", "models.speech")
    change(tree, "models/jobs/work.py", "models.words", "models.speech")
    assert digest() == before


def test_a_re_export_is_followed(tree: Path):
    before = digest()
    (tree / "models/facade.py").write_text("from models.words import shout\n")
    change(tree, "tasks/feedback/speak.py", "from models.words import shout", "from models.facade import shout")
    assert digest() == before
    change(tree, "models/words.py", "upper", "title")
    assert digest() != before


def test_what_is_registered_with_a_dispatching_function_is_followed_wherever_it_stands(tree: Path):
    before = digest()
    registers = "from models.{} import {}\n\n\n@{}.register\ndef open_flute(text: str):\n    return 1\n"
    (tree / "models/flutes.py").write_text(registers.format("words", "shout", "shout"))
    with_flutes = digest()
    assert with_flutes != before
    change(tree, "models/flutes.py", "return 1", "return 2")
    assert digest() != with_flutes
    (tree / "models/flutes.py").write_text(registers.format("sounds", "noise", "noise"))
    assert digest() == before, "noise is not reached"


def test_a_step_that_changed_silently_is_named_and_a_reason_is_asked_for(tree: Path):
    assert changed_steps() == {"speak": "is not in the lock"}
    assert update_lock(None) == ["speak"]
    assert changed_steps() == {}
    change(tree, "models/words.py", "upper", "title")
    forget()
    assert changed_steps() == {"speak": "changed under version 1"}
    with pytest.raises(SystemExit, match="speak changed under the same version: raise the version"):
        update_lock(None)
    assert update_lock("title is upper for one letter") == ["speak"]
    entry = json.loads((tree / "lock.json").read_text())["speak"]
    assert entry["same_meaning"] == ["title is upper for one letter"]
    assert locked_digest("speak") == entry["source"] == digest()


def test_a_new_version_forgets_the_reasons(tree: Path, monkeypatch: pytest.MonkeyPatch):
    update_lock(None)
    change(tree, "models/words.py", "upper", "title")
    forget()
    update_lock("a reason")
    newer: Any = SimpleNamespace(
        fn=SimpleNamespace(__module__="tasks.feedback.speak", __name__="speak"),
        declared=SimpleNamespace(version="2", jobs=JOBS),
    )
    monkeypatch.setattr(step_lock, "all_steps", lambda: {"speak": newer})
    assert changed_steps() == {"speak": "has version 2, the lock 1"}
    update_lock(None)
    assert json.loads((tree / "lock.json").read_text())["speak"]["same_meaning"] == []


def test_a_step_that_is_gone_is_named(tree: Path, monkeypatch: pytest.MonkeyPatch):
    update_lock(None)
    monkeypatch.setattr(step_lock, "all_steps", dict)
    assert changed_steps() == {"speak": "is in the lock but not in tasks/"}


def test_the_paper_s_mining_reaches_what_decides_and_not_how_it_is_run():
    reached_code.forget()
    modules = {module for module, _ in reached("tasks.feedback.mine_queries", "mine_queries")}
    assert {"models.text.rouge_l_index", "models.text.overlap", "models.engines.decode_loop"} <= modules
    assert not {module for module in modules if module.startswith(("models.processes", "tasks.reporting"))}


def test_a_b_tests_reach_every_kind_of_judge():
    reached_code.forget()
    modules = {module for module, _ in reached("tasks.evaluation.evaluate_by_judge", "judge_pairs")}
    assert {"tasks.evaluation.model_judge", "models.tiny_world.judge"} <= modules
