"""The tree: imports run one way, names say what a file is, files stay small, and no step changes unnoticed."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.runtime.step_lock import all_steps, changed_steps

ROOT = Path(__file__).resolve().parents[1]
LAYERS = ("data_contracts", "models", "tasks", "flows", "deployments")  # each may import those before it
FORBIDDEN_NAMES = ("util", "utils", "helper", "helpers", "manager", "handler", "common", "misc")
LONGEST_FILE = 265
LONGEST_FUNCTION = 60
FILES = sorted(path for layer in LAYERS for path in (ROOT / layer).rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path) -> Iterator[str]:
    """Modules that a file imports, wherever in the file."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)} has a relative import"
            assert node.module is not None
            yield node.module


def test_the_layers_are_there():
    assert {path.relative_to(ROOT).parts[0] for path in FILES} == set(LAYERS)


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_run_one_way(path: Path):
    layer = path.relative_to(ROOT).parts[0]
    above = LAYERS[LAYERS.index(layer) + 1 :]
    wrong = sorted(module for module in imports(path) if module.split(".")[0] in (*above, "tests"))
    assert wrong == [], f"{layer} may import only {LAYERS[: LAYERS.index(layer)]}"
    if layer in ("data_contracts", "models"):
        assert "prefect" not in {module.split(".")[0] for module in imports(path)}


def test_steps_do_not_import_each_other():
    """A step's file may import shared modules of tasks/, never another step's."""
    steps = {step.fn.__module__ for step in all_steps().values()}
    for path in (ROOT / "tasks").rglob("*.py"):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        if module in steps:
            assert not (set(imports(path)) & steps) - {module}, f"{module} imports another step"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_file_has_a_name_of_its_own_a_docstring_and_a_readable_size(path: Path):
    assert path.stem not in FORBIDDEN_NAMES
    assert not set(path.stem.split("_")) & set(FORBIDDEN_NAMES)
    assert path.parent.name not in FORBIDDEN_NAMES
    tree = tree_of(path)
    assert ast.get_docstring(tree), "a module says what it is"
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_FILE
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            length = node.end_lineno - node.lineno + 1
            assert length <= LONGEST_FUNCTION, f"{node.name} has {length} lines"


def test_no_file_shadows_a_library():
    import sys

    taken = {"datasets", "types", "torch", "transformers", "trl", "prefect", "typing"} | sys.stdlib_module_names
    top_level = {path.stem for path in ROOT.glob("*.py")} | {path.name for path in ROOT.iterdir() if path.is_dir()}
    assert not top_level & taken


def test_nothing_executes_text_or_loads_pickles():
    """Model output is untrusted: it is never evaluated; weights come from safetensors."""
    calls = {"eval", "exec"}
    loads = {("pickle", "load"), ("pickle", "loads"), ("yaml", "load"), ("os", "system")}
    for path in FILES:
        for node in ast.walk(tree_of(path)):
            if not isinstance(node, ast.Call):
                continue
            function = node.func
            if isinstance(function, ast.Name):
                assert function.id not in calls, f"{name_of(path)}:{node.lineno}"
            if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
                assert (function.value.id, function.attr) not in loads, f"{name_of(path)}:{node.lineno}"
            for keyword in node.keywords:
                trusts = keyword.arg == "trust_remote_code" and getattr(keyword.value, "value", None) is True
                assert not trusts, f"{name_of(path)}:{node.lineno}"


def test_every_step_is_locked_at_its_present_source():
    """A changed step needs a new version, or `python -m tasks.runtime.step_lock --same "why the outputs are the same"`."""
    assert changed_steps() == {}
