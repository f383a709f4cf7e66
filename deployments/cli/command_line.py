"""The command line: almost run, plan, results, evaluate, show, report, lineage, doctor, serve.

Exit codes: 0 done; 2 the user's input is wrong (one line says what and where); 1 anything else.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, cast

import typer

from data_contracts.errors import AlmostError
from data_contracts.store.home import home_url
from deployments.cli.options import HomeOption, ProfileOption, SetOption
from deployments.cli.run_command import run
from deployments.quiet_prefect import quieten

app = typer.Typer(
    name="almost",
    help="Align language models through synthetic feedback (ALMoST).",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

# typer keeps its own copy of click and exports only this leaf of its usage errors
USAGE_ERROR = cast(type[typer.BadParameter], typer.BadParameter.__mro__[1])

app.command()(run)


@app.command()
def results(
    seeds: Annotated[
        str | None, typer.Option(help="Seeds with commas between them; the report seeds if empty.")
    ] = None,
    profile: ProfileOption = "tiny",
    home: HomeOption = None,
    settings: SetOption = None,
    page: Annotated[Path, typer.Option(help="Where the page goes.")] = Path("docs/results_tiny.md"),
    no_page: Annotated[bool, typer.Option("--no-page", help="Measure only.")] = False,
    at_once: Annotated[int, typer.Option(min=1, help="Seeds at a time, each in a process of its own.")] = 1,
) -> None:
    """Measure the paper's effects in the tiny world over several seeds, and write docs/results_tiny.md."""
    from deployments.cli.results_command import measure, parse_seeds

    measure(
        profile=profile,
        home=home_url(home),
        seeds=parse_seeds(seeds),
        settings=settings or [],
        page=None if no_page else page,
        at_once=at_once,
    )


@app.command()
def plan(
    profile: ProfileOption = "tiny",
    settings: SetOption = None,
    teraflops: Annotated[
        float, typer.Option(min=1e-6, help="Speed of all GPUs (or cores) together, in 1e12 FLOPs per second.")
    ] = 100.0,
) -> None:
    """Say what a run would cost at most, step by step: tokens, FLOPs, hours."""
    from deployments.cli.plan_command import print_plan

    print_plan(profile, settings or [], teraflops)


@app.command()
def evaluate(
    models: Annotated[list[str], typer.Option("--model", "-m", help="Folder or Hub id; may be repeated.")],
    benchmarks: Annotated[
        str | None, typer.Option(metavar="NAME[,NAME...]", help="Which ones; all that suit the model if left out.")
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="Folder with hhh/, truthfulqa/, mmlu/, ... [ALMOST_DATA], or hub.")
    ] = None,
    items: Annotated[int | None, typer.Option(min=1, help="Only the first items of each split and subject.")] = None,
    shots: Annotated[int, typer.Option(min=0, max=5, help="Shots of MMLU.")] = 0,
    chat: Annotated[bool, typer.Option("--chat", help="Ask in the model's own chat template.")] = False,
    templates: Annotated[str | None, typer.Option(help="Folder with prompts, NAME.txt, in place of ours.")] = None,
    export: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="Write the items as tasks of lm-evaluation-harness, and stop.")
    ] = None,
    tax: Annotated[
        list[str] | None, typer.Option(metavar="BASE=TRAINED", help="Two of the models; what training cost the second.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Rows at once.")] = 64,
    dtype: Annotated[str, typer.Option(help="float32, bfloat16 or float16.")] = "float32",
    home: HomeOption = None,
) -> None:
    """Evaluate checkpoints on the paper's benchmarks: HHH, TruthfulQA, MMLU, LAMBADA, preference pairs."""
    from deployments.cli.evaluate_command import Request, evaluate_models

    request = Request(
        models=tuple(models),
        benchmarks=benchmarks,
        data=data,
        items=items,
        shots=shots,
        chat=chat,
        templates=templates,
        batch_size=batch_size,
        dtype=dtype,
        taxes=tuple(tax or ()),
    )
    evaluate_models(request, home_url(home), export)


@app.command()
def show(
    run_id: Annotated[str | None, typer.Argument(help="Run to show; the newest finished one if left out.")] = None,
    home: HomeOption = None,
) -> None:
    """Show what a run made and measured, with samples from its tables."""
    from deployments.cli.show_command import show_run

    show_run(home_url(home), run_id)


@app.command()
def report(
    run_id: Annotated[str | None, typer.Argument(help="Run to report; the newest finished one if left out.")] = None,
    home: HomeOption = None,
) -> None:
    """Write report.html of a run into its folder again, and print where it is."""
    from deployments.cli.show_command import report_run

    print(report_run(home_url(home), run_id))


@app.command()
def lineage(
    row_id: Annotated[str, typer.Argument(help="Id of a query, response, comparison, demonstration or rollout.")],
    run_id: Annotated[str | None, typer.Option("--run", help="Run it belongs to; the newest finished one.")] = None,
    home: HomeOption = None,
) -> None:
    """Say where a row came from: query, answers, verdicts, scores, and the files of each."""
    from deployments.cli.lineage_command import print_lineage

    print_lineage(home_url(home), run_id, row_id)


@app.command()
def doctor(home: HomeOption = None) -> None:
    """Check the environment: versions, engines, GPUs, compiler, store, Prefect."""
    from deployments.cli.doctor_command import examine

    raise typer.Exit(examine(home_url(home)))


@app.command()
def serve(
    home: HomeOption = None,
    host: Annotated[str, typer.Option(help="Address of the Prefect server.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port of the Prefect server.")] = 4200,
    gpus_per_job: Annotated[
        int | None, typer.Option(min=1, help="A worker per so many GPUs; one job at a time on all of them if left out.")
    ] = None,
) -> None:
    """Start server, work pools, two workers and the deployments in this terminal; Ctrl-C stops them all."""
    from deployments.server.serve_command import serve_all

    raise typer.Exit(serve_all(home_url(home), host, port, gpus_per_job))


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point; turns errors into one line and an exit code."""
    quieten()
    try:
        code = app(list(sys.argv[1:] if arguments is None else arguments), standalone_mode=False)
    except USAGE_ERROR as error:
        _stop(2, f"{' '.join(error.format_message().split())} (see almost --help)")
    except (typer.Abort, KeyboardInterrupt):
        _stop(130, "interrupted; the same command goes on where it stopped")
    except AlmostError as error:
        if os.environ.get("ALMOST_TRACEBACK"):
            raise
        _stop(error.exit_code, str(error) if error.exit_code != 2 else " ".join(str(error).split()))
    sys.exit(code or 0)


def _stop(code: int, message: str) -> None:
    print(f"almost: {message}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
