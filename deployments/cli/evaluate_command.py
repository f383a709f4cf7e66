"""`almost evaluate`: the paper's benchmarks on any checkpoints, as tables beside the paper's."""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from data_contracts.config.engine import EngineConfig
from data_contracts.errors import ConfigError
from data_contracts.store.artifact_store import Store
from models.evaluation.benchmarks.benchmark import Settings
from models.evaluation.benchmarks.catalogue import BENCHMARKS
from models.evaluation.benchmarks.preferences import PREFERENCES
from tasks.reporting.plain_text import plain


@dataclass(frozen=True)
class Request:
    """What the command line asks for."""

    models: tuple[str, ...]
    benchmarks: str | None
    data: str | None
    items: int | None
    shots: int
    chat: bool
    templates: str | None
    batch_size: int
    dtype: str
    taxes: tuple[str, ...] = ()

    def names(self) -> tuple[str, ...]:
        """The benchmarks named; ConfigError for an unknown one."""
        named, known = (self.benchmarks or "").split(","), (*BENCHMARKS, PREFERENCES.name)
        names = tuple(name.strip() for name in named if name.strip())
        for name in names:
            if name not in known:
                raise ConfigError(f"--benchmarks: unknown benchmark '{name}'; known: {', '.join(known)}")
        return names

    def engine(self) -> EngineConfig:
        """The engine's settings; ConfigError for an unknown number type."""
        try:
            return EngineConfig.model_validate({"batch_size": self.batch_size, "dtype": self.dtype})
        except ValidationError as error:
            raise ConfigError(f"--dtype {self.dtype}: {error.errors()[0]['msg']}") from error


def evaluate_models(request: Request, home: str, export: str | None) -> None:
    """Run the evaluation and print its tables; models and files are checked before Prefect starts.

    Raises:
        ConfigError: a model, benchmark or file is wrong.
    """
    started = time.monotonic()
    names, engine = request.names(), request.engine()
    from tasks.inputs.resolve_models import resolve_model

    for model in request.models:
        resolve_model("--model", model, {})
    if export is not None:
        _export(request, names, Path(export))
        return
    store = Store(home)
    from deployments.cli.terminal import Terminal  # imports Prefect, which takes a second: a typo is told before

    with Terminal(f"evaluate {', '.join(request.models)}, store {home}") as terminal:
        from flows.evaluate import evaluate

        run_id = evaluate(
            models=request.models,
            benchmarks=names,
            data=request.data,
            items=request.items,
            mmlu_shots=request.shots,
            style="chat" if request.chat else "plain",
            templates=request.templates,
            home=home,
            engine=engine,
            taxes=request.taxes,
        )
    _print_tables(terminal.console, store, run_id, time.monotonic() - started)


def _print_tables(console: Console, store: Store, run_id: str, seconds: float) -> None:
    from deployments.cli.show_command import PIPE_WIDTH
    from models.evaluation.paper_tables import PUBLISHED
    from tasks.reporting.evaluation_report import read_tables
    from tasks.reporting.metric_titles import shown_metric
    from tasks.reporting.report_reward_card import FLAG
    from tasks.reporting.run_summary import read_summary

    if not console.is_terminal:
        console.width = PIPE_WIDTH
    summary = read_summary(store, run_id)
    assert summary is not None
    for shown in read_tables(store, run_id):
        table = Table(title=shown.title, title_justify="left", box=None, pad_edge=False)
        table.add_column("", overflow="fold")
        for column in shown.columns:
            table.add_column(column, justify="right", overflow="fold")
        for name, *cells in shown.rows:
            style = "dim" if name.startswith(PUBLISHED) else None
            table.add_row(plain(name, 60), *(cell.replace(" [", "\n[") for cell in cells), style=style)
        console.print()
        console.print(table)
    for name, raised in summary.metrics.items():
        if name.startswith(FLAG) and raised:
            console.print(f"\n{plain(shown_metric(name).title, 160)}; see the reward-model card in tables.md")
    console.print(f"\nrun {run_id} in {seconds:.0f} s: {summary.home}/runs/{run_id}/tables.md and summary.json")
    sys.stdout.flush()


def _export(request: Request, names: tuple[str, ...], folder: Path) -> None:
    from data_contracts.config.evaluation import BenchmarkSettings
    from models.evaluation.benchmarks.lm_eval_tasks import export_task
    from tasks.inputs.resolve_benchmarks import resolve_benchmarks

    if request.chat:
        raise ConfigError("--export with --chat: the harness applies chat templates itself (--apply_chat_template)")
    wanted = [name for name in BENCHMARKS if not names or name in names]
    settings = BenchmarkSettings.model_validate(
        {"names": wanted, "folder": request.data, "mmlu_shots": request.shots, "templates": request.templates}
    )
    for handle in resolve_benchmarks(settings):
        benchmark, files = BENCHMARKS[handle.name], [Path(file.path) for file in handle.files]
        template = benchmark.parse_template(handle.template.source, handle.template.text)
        questions = benchmark.questions(files, request.items)
        items = benchmark.items(questions, files, template, Settings(handle.shots))
        task = export_task(folder, handle.title, items)
        print(f"{task}: {len(items):,} items, {folder}/{task}.yaml")
    print(f"lm_eval --model hf --model_args pretrained=MODEL,add_bos_token=True --include_path {folder} --tasks ...")
