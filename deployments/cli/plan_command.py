"""`almost plan`: the bill of a run before it is started."""

from rich.console import Console
from rich.table import Table

from data_contracts.config.profiles import load_profile
from models.run_bill import bill

PIPE_WIDTH = 120


def print_plan(profile: str, settings: list[str], teraflops: float) -> None:
    """Print tokens, FLOPs and hours per stage, at most, for a machine that does `teraflops` 1e12 FLOPs a second.

    Raises:
        ConfigError: profile or setting is wrong.
    """
    config = load_profile(profile, settings)
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    table = Table(box=None, pad_edge=False)
    table.add_column("stage")
    for column in ("tokens", "FLOPs", f"hours at {teraflops:g} TFLOP/s"):
        table.add_column(column, justify="right")
    work = bill(config)
    for stage in work:
        hours = stage.hours(teraflops * 1e12)
        flops = "size unknown" if stage.flops is None else f"{stage.flops:.2e}"
        table.add_row(stage.stage, f"{stage.tokens:,}", flops, "" if hours is None else f"{hours:.3g}")
    known = [stage.flops for stage in work if stage.flops is not None]
    flops, hours = (f"{sum(known):.2e}", f"{sum(known) / teraflops / 3.6e15:.3g}") if known else ("size unknown", "")
    table.add_row("together", f"{sum(stage.tokens for stage in work):,}", flops, hours)
    console.print(table)
    print("Upper bounds: every text at its full length, nothing found in the store; attention and loading not counted.")
    if any(stage.flops is None for stage in work):
        print(
            "The Hub does not tell the size of every model here, or cannot be reached; local folders are counted always."
        )
