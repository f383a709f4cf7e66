"""The tree: imports run one way, names say what a file is, files stay small, and no step changes unnoticed."""

import ast
import inspect
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.runtime.registry import all_steps
from tasks.runtime.step_lock import changed_steps

ROOT = Path(__file__).resolve().parents[1]
LAYERS = ("data_contracts", "models", "tasks", "flows", "deployments")  # each may import those before it
FORBIDDEN_NAMES = ("util", "utils", "helper", "helpers", "manager", "handler", "common", "misc")
LONGEST_FILE = 265
LONGEST_FUNCTION = 60
MOST_FILES_IN_A_FOLDER = 22
CROWDED = {"data_contracts/config": 25}  # a file per profile section
MOST_LONG_POSITIONAL_CALLS = 52  # today's number; the goal is 10
LONG_POSITIONAL_CALL = 6
# Who turns a table into dictionaries outside data_contracts/: readers of files that are not ours, figures over columns.
READ_FOREIGN_FILES = {"models/evaluation/benchmarks/benchmark_files.py", "tasks/feedback/load_community_answers.py"}
COUNT_COLUMN_VALUES = {
    "tasks/reporting/sample_rows.py",
    "tasks/reporting/column_figures.py",
    "tasks/reporting/funnel.py",
}
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


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    """The calls in a file, with the last part of what is called."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func).rsplit(".", 1)[-1], node


def test_every_step_takes_keywords_and_says_what_it_does():
    assert all_steps()
    for name, one in all_steps().items():
        kinds = {parameter.kind for parameter in inspect.signature(one.fn).parameters.values()}
        assert kinds <= {inspect.Parameter.KEYWORD_ONLY}, f"step {name} has positional arguments"
        assert inspect.getdoc(one.fn), f"step {name} has no docstring"


def test_every_step_belongs_to_a_phase():
    assert [name for name, one in all_steps().items() if one.declared.phase is None] == []


def test_there_is_exactly_one_context_variable():
    made = [name_of(path) for path in FILES for called, _ in calls(path) if called.split("[")[0] == "ContextVar"]
    assert made == ["tasks/runtime/context.py"]


def test_folders_stay_readable():
    numbers = Counter(name_of(path.parent) for path in FILES)
    allowed = {folder: CROWDED.get(folder, MOST_FILES_IN_A_FOLDER) for folder in numbers}
    assert {folder: number for folder, number in numbers.items() if number > allowed[folder]} == {}, "divide the folder"


def test_calls_with_many_positional_arguments_are_rare():
    found = [
        f"{name_of(path)}:{call.lineno} {called}"
        for path in FILES
        for called, call in calls(path)
        if sum(not isinstance(argument, ast.Starred) for argument in call.args) >= LONG_POSITIONAL_CALL
    ]
    assert len(found) <= MOST_LONG_POSITIONAL_CALLS, "\n".join(found)


def test_tables_become_rows_and_rows_no_dictionaries():
    """`Row.from_table` gives rows; a table as dictionaries is no business of steps, flows and models."""
    outside = [path for path in FILES if path.relative_to(ROOT).parts[0] != "data_contracts"]
    lists = {name_of(path) for path in outside for called, _ in calls(path) if called == "to_pylist"}
    assert lists == READ_FOREIGN_FILES | COUNT_COLUMN_VALUES
    from_dictionaries = {name_of(path) for path in FILES for called, _ in calls(path) if called == "from_rows"}
    assert from_dictionaries == set(), "build rows with their class"


def test_every_step_is_locked_at_its_present_source():
    """A changed step needs a new version, or `python -m tasks.runtime.step_lock --same "why the outputs are the same"`."""
    assert changed_steps() == {}
