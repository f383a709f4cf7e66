"""Which files a run's evaluation sets lie in: benchmarks, questions of A/B tests, preference pairs, and others named."""

from data_contracts.config.evaluation import Evaluation
from data_contracts.handles import EvaluationFile, FileHandle
from models.evaluation.benchmarks.catalogue import benchmark_named
from tasks.inputs.resolve_benchmarks import FIELD, benchmark_files
from tasks.inputs.resolve_files import resolve_file
from tasks.inputs.resolve_judge import resolve_questions


def resolve_evaluation_sets(evaluation: Evaluation) -> tuple[EvaluationFile, ...]:
    """Every file the run will be evaluated on, and `overlap_files`; a file named twice comes once.

    Raises:
        ConfigError: a file or folder does not exist.
    """
    found: list[EvaluationFile] = []
    for name in evaluation.benchmarks.names:
        files = benchmark_files(benchmark_named(name, f"{FIELD}.names").data, evaluation.benchmarks)
        found += [EvaluationFile(set_name=name, file=file) for file in files]
    questions = resolve_questions(evaluation.judge) if evaluation.judge.kind != "none" else None
    if questions is not None:
        found.append(_of_its_name(questions))
    for field in ("preference_files", "overlap_files"):
        named: tuple[str, ...] = getattr(evaluation, field)
        found += [_of_its_name(resolve_file(f"evaluation.{field}", file)) for file in named]
    once: dict[str, EvaluationFile] = {}
    for file in found:
        once.setdefault(file.file.path, file)
    return tuple(once.values())


def _of_its_name(file: FileHandle) -> EvaluationFile:
    return EvaluationFile(set_name=file.name, file=file)
