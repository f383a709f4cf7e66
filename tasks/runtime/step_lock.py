"""A step's code cannot change unnoticed: step_lock.json holds a source digest per step (DESIGN section 3).

The digest covers the step's file and every file of `models/` it reaches by imports, plus its job modules, without
comments, docstrings and formatting. When code changed, either raise the step's version, or say that the meaning is
the same: `python -m tasks.runtime.step_lock --same "why"`; both update the lock, and the reasons stay in it.
"""

import argparse
import ast
import json
import sys
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from tasks.runtime.locked_code import LOCK_FILE

ROOT = Path(__file__).resolve().parents[2]


LOCKED_PACKAGES = ("models", "tasks")


INFRASTRUCTURE = {
    "tasks.runtime.step",
    "tasks.runtime.step_context",
    "tasks.runtime.step_lock",
    "tasks.runtime.run_record",
    "tasks.runtime.progress",
}


def source_digest(module: str, jobs: tuple[str, ...] = ()) -> str:
    """Digest of a module, its job modules, and all `models` and `tasks` modules they import."""
    reached: set[str] = set()
    pending = [module, *jobs]
    while pending:
        name = pending.pop()
        if name not in reached and name not in INFRASTRUCTURE:
            reached.add(name)
            pending += _imports(name)
    texts = [f"{name}\n{_meaning(name)}" for name in sorted(reached)]
    return sha256("\n".join(texts).encode()).hexdigest()[:16]


def _file_of(module: str) -> Path | None:
    path = ROOT / Path(*module.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


@cache
def _tree(module: str) -> ast.Module:
    path = _file_of(module)
    assert path is not None, module
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def _imports(module: str) -> tuple[str, ...]:
    found: list[str] = []
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return tuple(n for n in found if n.split(".")[0] in LOCKED_PACKAGES and _file_of(n) is not None)


@cache
def _meaning(module: str) -> str:
    """The syntax tree without docstrings: comments and formatting are gone already."""
    tree = ast.parse(ast.unparse(_tree(module)))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
            first = node.body[0]
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:] or [ast.Pass()]
    return ast.dump(tree)


def all_steps() -> dict[str, Any]:
    """Every step of `tasks/`, by name."""
    from importlib import import_module

    from tasks.runtime.step import Step

    steps = {}
    for path in sorted((ROOT / "tasks").rglob("*.py")):
        module = import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
        steps |= {
            v.name: v for v in vars(module).values() if isinstance(v, Step) and v.fn.__module__ == module.__name__
        }
    return steps


def changed_steps() -> dict[str, str]:
    """Step -> what is wrong: not locked, or source changed under the same version."""
    lock = json.loads(LOCK_FILE.read_text()) if LOCK_FILE.exists() else {}
    problems = {}
    for name, step in all_steps().items():
        entry = lock.get(name)
        if entry is None:
            problems[name] = "is not in the lock"
        elif entry["version"] == step.version and entry["source"] != source_digest(step.fn.__module__, step.jobs):
            problems[name] = f"changed under version {step.version}"
        elif entry["version"] != step.version:
            problems[name] = f"has version {step.version}, the lock {entry['version']}"
    for name in set(lock) - set(all_steps()):
        problems[name] = "is in the lock but not in tasks/"
    return problems


def update_lock(same_because: str | None) -> list[str]:
    """Record today's sources; a change under an unchanged version needs a reason why the meaning is the same."""
    lock = json.loads(LOCK_FILE.read_text()) if LOCK_FILE.exists() else {}
    problems = changed_steps()
    silent = [name for name, problem in problems.items() if problem.startswith("changed")]
    if silent and not same_because:
        raise SystemExit(
            f"{', '.join(silent)} changed under the same version: raise the version in @step, or run "
            f'python -m tasks.runtime.step_lock --same "why the outputs are the same"'
        )
    updated = {}
    for name, step in all_steps().items():
        notes = list(lock.get(name, {}).get("same_meaning", [])) if name in lock else []
        if name in silent:
            notes.append(same_because)
        if name in problems and name not in silent:
            notes = []
        updated[name] = {
            "version": step.version,
            "source": source_digest(step.fn.__module__, step.jobs),
            "same_meaning": notes,
        }
    LOCK_FILE.write_text(json.dumps(updated, indent=1, sort_keys=True) + "\n")
    return sorted(problems)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Update the lock of step sources.")
    parser.add_argument("--same", metavar="WHY", help="the changed steps still mean the same, because ...")
    print("updated:", ", ".join(update_lock(parser.parse_args().same)) or "nothing", file=sys.stdout)
