"""From names and a data folder to benchmarks by content; every file is read once, so that a broken one stops the run."""

import logging
import os
from pathlib import Path

from data_contracts.config.evaluation import BenchmarkSettings
from data_contracts.errors import ConfigError
from data_contracts.handles import BenchmarkHandle, FileHandle, PromptHandle
from models.evaluation.benchmarks.catalogue import (
    FILE_PATTERNS,
    HUB_DATASETS,
    Benchmark,
    builtin_template,
    load_template,
    read_questions,
    template_name,
)
from tasks.inputs.resolve_files import resolve_file

logger = logging.getLogger("almost")

FIELD = "evaluation.benchmarks"
DATA_VARIABLE, DATA_DEFAULT = "ALMOST_DATA", "../shared/data"
HUB_FOLDER = "hub"


def data_folder(chosen: str | None) -> Path:
    """The folder with benchmark files: the one chosen, else $ALMOST_DATA, else `../shared/data`.

    Raises:
        ConfigError: it does not exist.
    """
    name = chosen or os.environ.get(DATA_VARIABLE) or DATA_DEFAULT
    folder = Path(name).expanduser()
    if not folder.is_dir():
        raise ConfigError(
            f"{FIELD}.folder: {name} is no folder; it should hold hhh/, truthfulqa/, mmlu/test and mmlu/dev, lambada/; "
            f"name another one, set {DATA_VARIABLE}, or say hub"
        )
    return folder


def resolve_benchmarks(settings: BenchmarkSettings) -> list[BenchmarkHandle]:
    """The benchmarks that a profile or a command line asks for.

    Raises:
        ConfigError: a file or template is missing or damaged.
    """
    return [_resolve(Benchmark(name), settings) for name in settings.names]


def benchmark_files(benchmark: Benchmark, settings: BenchmarkSettings) -> list[FileHandle]:
    """A benchmark's files, from where the settings say: sources of its own, the Hub's public copies, or the data folder.

    Raises:
        ConfigError: there are none, or a dataset cannot be fetched.
    """
    own = settings.datasets.get(benchmark.value)
    if own or settings.folder == HUB_FOLDER:
        return [resolve_file(f"{FIELD}.datasets", source) for source in own or HUB_DATASETS[benchmark]]
    return [_file(path) for path in find_files(benchmark, data_folder(settings.folder))]


def find_files(benchmark: Benchmark, folder: Path) -> list[Path]:
    """A benchmark's files in a data folder, sorted.

    Raises:
        ConfigError: there are none.
    """
    for patterns in FILE_PATTERNS[benchmark]:
        found = sorted(path for pattern in patterns for path in folder.glob(pattern))
        if found:
            return found
    wanted = " or ".join(" and ".join(patterns) for patterns in FILE_PATTERNS[benchmark])
    raise ConfigError(f"{FIELD}: {folder} has no files of {benchmark}; expected {wanted}")


def preference_files(chosen: str | None) -> list[FileHandle]:
    """The preference files of a data folder (or the Hub's) of HH-RLHF's format by their first row; others are left out."""
    from models.evaluation.benchmarks.preferences import read_preference_file

    if chosen == HUB_FOLDER:
        return [resolve_file(f"{FIELD}.datasets", source) for source in HUB_DATASETS[Benchmark.PREFERENCES]]
    folder, readable = data_folder(chosen), []
    for path in find_files(Benchmark.PREFERENCES, folder):
        try:
            read_preference_file(path, rows=1)
        except ConfigError as error:
            logger.warning("left out: %s", error)
            continue
        readable.append(_file(path))
    return readable


def _resolve(benchmark: Benchmark, settings: BenchmarkSettings) -> BenchmarkHandle:
    shots = settings.mmlu_shots if benchmark is Benchmark.MMLU else 0
    files = benchmark_files(benchmark, settings)
    read_questions(benchmark, [Path(file.path) for file in files])
    return BenchmarkHandle(
        name=benchmark.value,
        files=tuple(files),
        template=_template(template_name(benchmark, shots), settings.templates),
        shots=shots,
        style=settings.style,
        items=settings.items,
    )


def _file(path: Path) -> FileHandle:
    return resolve_file(FIELD, str(path))


def _template(name: str, folder: str | None) -> PromptHandle:
    """A person's NAME.txt where there is one, else the project's."""
    own = Path(folder).expanduser() / f"{name}.txt" if folder else None
    if folder and not Path(folder).expanduser().is_dir():
        raise ConfigError(f"{FIELD}.templates: {folder} is no folder")
    path = own if own is not None and own.is_file() else builtin_template(name)
    try:
        handle = PromptHandle.read(name, path)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{FIELD}.templates: cannot read {path}: {error}") from error
    load_template(name, str(path), handle.text)
    return handle
