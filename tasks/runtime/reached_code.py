"""Which functions, classes and constants a step's code reaches, and a digest of what they mean.

From a definition on, every name it uses is followed: within its module, through imports (also inside functions), and
through modules used by name (`mining.mine_queries`). A class counts whole, because which of its methods an object is asked
for cannot be told from names. A function that dispatches on a type (`@singledispatch`) reaches whatever is registered with
it (`@open_judge.register`), wherever in the project. What a module does when it is imported counts as soon as one of its definitions is reached.
Comments, docstrings, formatting, and the file that a definition stands in do not count.

What it cannot see: code reached only by a computed name (`importlib.import_module(text)`, `getattr(module, text)`). Jobs
are such code, so a step names their modules (`@step(jobs=...)`), and their `main` is followed from there.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLLOWED = ("models", "tasks")
# How a step is run, recorded and shown, and how its processes are started, is no part of what it makes.
LEFT_OUT = ("tasks.runtime", "models.processes")
COUNTED_ANYWAY = ("tasks.runtime.loaded_models", "tasks.runtime.run_training_job")

Name = tuple[str, str]  # module, name in it; the name is "" for what a module does when it is imported


@dataclass(frozen=True)
class Module:
    """A module's top-level definitions, what its names are imported from, and its other statements."""

    definitions: dict[str, ast.stmt]
    imported: dict[str, Name]
    others: tuple[ast.stmt, ...]


def digest_of(module: str, function: str, jobs: tuple[str, ...] = ()) -> str:
    """Digest of all that a function, and the `main` of the job modules, reach."""
    named = ((name, _meaning(place, name)) for place, name in reached(module, function, jobs))
    texts = sorted(f"{name}\n{meaning}" for name, meaning in named if meaning)  # a re-export means nothing itself
    return sha256("\n".join(texts).encode()).hexdigest()[:16]


def reached(module: str, function: str, jobs: tuple[str, ...] = ()) -> set[Name]:
    """Every definition that a function, and the `main` of the job modules, reach."""
    found: set[Name] = set()
    pending: list[Name] = [(module, function), *((job, "main") for job in jobs)]
    while pending:
        name = pending.pop()
        if name in found or not _counts(name[0]):
            continue
        found.add(name)
        pending += [(name[0], ""), *_uses(*name), *_registered().get(name, ())]
    return found


def _counts(module: str) -> bool:
    if module.split(".")[0] not in FOLLOWED or _file_of(module) is None:
        return False
    return module in COUNTED_ANYWAY or not module.startswith(LEFT_OUT)


def _file_of(module: str) -> Path | None:
    path = ROOT / Path(*module.split("."))
    return next((one for one in (path.with_suffix(".py"), path / "__init__.py") if one.is_file()), None)


@cache
def _read(module: str) -> Module:
    path = _file_of(module)
    assert path is not None, module
    definitions: dict[str, ast.stmt] = {}
    others = []
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for statement in tree.body:
        names = list(_defined(statement))
        definitions |= dict.fromkeys(names, statement)
        if not names and not isinstance(statement, ast.Import | ast.ImportFrom) and not _is_text(statement):
            others.append(statement)
    return Module(definitions, _imports(tree.body), tuple(others))


def _defined(statement: ast.stmt) -> Iterator[str]:
    """Names that a top-level statement defines."""
    match statement:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case ast.Assign(targets=targets):
            for target in targets:
                yield from (node.id for node in ast.walk(target) if isinstance(node, ast.Name))
        case ast.AnnAssign(target=ast.Name(id=name)):
            yield name


def _is_text(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def _imports(statements: list[ast.stmt] | tuple[ast.AST, ...]) -> dict[str, Name]:
    """Local name -> where it comes from; an imported module is (module, "")."""
    found: dict[str, Name] = {}
    for statement in statements:
        if isinstance(statement, ast.ImportFrom) and statement.module and statement.level == 0:
            for alias in statement.names:
                whole = f"{statement.module}.{alias.name}"
                target = (whole, "") if _file_of(whole) is not None else (statement.module, alias.name)
                found[alias.asname or alias.name] = target
        elif isinstance(statement, ast.Import):
            found |= {alias.asname: (alias.name, "") for alias in statement.names if alias.asname}
    return found


@cache
def _uses(module: str, name: str) -> tuple[Name, ...]:
    """Definitions that a definition (or, for "", the module's other statements) uses by name."""
    here = _read(module)
    if name and name not in here.definitions:  # re-exported
        return (here.imported[name],) if name in here.imported else ()
    roots = [here.definitions[name]] if name else list(here.others)
    found: list[Name] = []
    for root in roots:
        imported = here.imported | _imports(tuple(ast.walk(root)))
        for node in ast.walk(root):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                target = imported.get(node.value.id)
                if target is not None and target[1] == "":
                    found.append((target[0], node.attr))
            if isinstance(node, ast.Name):
                if node.id in imported:
                    found.append(imported[node.id])
                elif node.id in here.definitions:
                    found.append((module, node.id))
    return tuple(dict.fromkeys(use for use in found if _counts(use[0])))


@cache
def _registered() -> dict[Name, tuple[Name, ...]]:
    """Function -> the definitions that the project registers with it, `@function.register`."""
    found: dict[Name, tuple[Name, ...]] = {}
    for path in sorted(path for folder in FOLLOWED for path in (ROOT / folder).rglob("*.py")):
        if ".register" not in path.read_text(encoding="utf-8"):
            continue
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        here = _read(module)
        for name, statement in here.definitions.items():
            for decorator in getattr(statement, "decorator_list", ()):
                match decorator:
                    case ast.Attribute(value=ast.Name(id=function), attr="register"):
                        target = here.imported.get(function, (module, function))
                        found[target] = (*found.get(target, ()), (module, name))
    return found


@cache
def _meaning(module: str, name: str) -> str:
    """The syntax of a definition without docstrings; comments and formatting are no part of the syntax."""
    here = _read(module)
    roots = [here.definitions[name]] if name in here.definitions else [] if name else list(here.others)
    texts = []
    for root in roots:
        tree = ast.parse(ast.unparse(root))
        for node in ast.walk(tree):
            body = getattr(node, "body", None)
            if isinstance(body, list) and body and _is_text(body[0]):
                node.body = body[1:] or [ast.Pass()]  # type: ignore[attr-defined]
        texts.append(ast.dump(tree))
    return "\n".join(texts)


def forget() -> None:
    """Forget what was read: the files may have changed."""
    for cached in (_read, _uses, _registered, _meaning):
        cached.cache_clear()
