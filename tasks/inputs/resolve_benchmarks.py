"""From names and a data folder to benchmarks by content; every file is read once, so that a broken one stops the run."""

import logging
import os
from pathlib import Path

from data_contracts.config.evaluation import BenchmarkSettings
from data_contracts.errors import ConfigError
from data_contracts.handles import BenchmarkHandle, FileHandle, PromptHandle
from models.evaluation.benchmarks.benchmark import Benchmark, DataFiles
from models.evaluation.benchmarks.catalogue import BENCHMARKS, benchmark_named
from models.evaluation.benchmarks.preferences import PREFERENCES, read_preference_file
from models.evaluation.benchmarks.prompt_template import builtin_template
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
        patterns = [pattern for one in BENCHMARKS.values() for pattern in one.data.patterns[0]]
        raise ConfigError(
            f"{FIELD}.folder: {name} is no folder; it should hold {', '.join(patterns)}; "
            f"name another one, set {DATA_VARIABLE}, or say hub"
        )
    return folder


def resolve_benchmarks(settings: BenchmarkSettings) -> list[BenchmarkHandle]:
    """The benchmarks that a profile or a command line asks for.

    Raises:
        ConfigError: a benchmark is unknown, or a file or template is missing or damaged.
    """
    for name in settings.datasets:
        benchmark_named(name, f"{FIELD}.datasets")
    return [_resolve(benchmark_named(name, f"{FIELD}.names"), settings) for name in settings.names]


def benchmark_files(data: DataFiles, settings: BenchmarkSettings) -> list[FileHandle]:
    """A benchmark's files, from where the settings say: sources of its own, the Hub's public copies, or the data folder.

    Raises:
        ConfigError: there are none, or a dataset cannot be fetched.
    """
    own = settings.datasets.get(data.name)
    if own or settings.folder == HUB_FOLDER:
        return [resolve_file(f"{FIELD}.datasets", source) for source in own or data.hub]
    return [_file(path) for path in find_files(data, data_folder(settings.folder))]


def find_files(data: DataFiles, folder: Path) -> list[Path]:
    """A benchmark's files in a data folder, sorted.

    Raises:
        ConfigError: there are none.
    """
    for patterns in data.patterns:
        found = sorted(path for pattern in patterns for path in folder.glob(pattern))
        if found:
            return found
    wanted = " or ".join(" and ".join(patterns) for patterns in data.patterns)
    raise ConfigError(f"{FIELD}: {folder} has no files of {data.name}; expected {wanted}")


def preference_files(chosen: str | None) -> list[FileHandle]:
    """The preference files of a data folder (or the Hub's) of HH-RLHF's format by their first row; others are left out."""
    if chosen == HUB_FOLDER:
        return [resolve_file(f"{FIELD}.datasets", source) for source in PREFERENCES.hub]
    readable = []
    for path in find_files(PREFERENCES, data_folder(chosen)):
        try:
            read_preference_file(path, rows=1)
        except ConfigError as error:
            logger.warning("left out: %s", error)
            continue
        readable.append(_file(path))
    return readable


def _resolve(benchmark: Benchmark, settings: BenchmarkSettings) -> BenchmarkHandle:
    shots = settings.mmlu_shots if benchmark.examples else 0
    files = benchmark_files(benchmark.data, settings)
    benchmark.questions([Path(file.path) for file in files])
    return BenchmarkHandle(
        name=benchmark.name,
        files=tuple(files),
        template=_template(benchmark, shots, settings.templates),
        shots=shots,
        style=settings.style,
        items=settings.items,
    )


def _file(path: Path) -> FileHandle:
    return resolve_file(FIELD, str(path))


def _template(benchmark: Benchmark, shots: int, folder: str | None) -> PromptHandle:
    """A person's NAME.txt where there is one, else the project's."""
    name = benchmark.template_name(shots)
    own = Path(folder).expanduser() / f"{name}.txt" if folder else None
    if folder and not Path(folder).expanduser().is_dir():
        raise ConfigError(f"{FIELD}.templates: {folder} is no folder")
    path = own if own is not None and own.is_file() else builtin_template(name)
    try:
        handle = PromptHandle.read(name, path)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{FIELD}.templates: cannot read {path}: {error}") from error
    benchmark.parse_template(str(path), handle.text)
    return handle
