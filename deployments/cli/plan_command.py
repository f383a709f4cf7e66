"""`almost plan`: the bill of a run before it is started."""

from rich.console import Console
from rich.table import Table

from data_contracts.config.profiles import load_profile
from models.run_bill import bill

PIPE_WIDTH = 120


def print_plan(profile: str, settings: list[str], teraflops: float) -> None:
    """Print tokens, FLOPs and hours per step, at most, for a machine that does `teraflops` 1e12 FLOPs a second.

    Raises:
        ConfigError: profile or setting is wrong.
    """
    config = load_profile(profile, settings)
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    table = Table(box=None, pad_edge=False)
    table.add_column("step")
    for column in ("tokens", "FLOPs", f"hours at {teraflops:g} TFLOP/s"):
        table.add_column(column, justify="right")
    work = bill(config)
    for one in work:
        hours = one.hours(teraflops * 1e12)
        flops = "size unknown" if one.flops is None else f"{one.flops:.2e}"
        table.add_row(one.step, f"{one.tokens:,}", flops, "" if hours is None else f"{hours:.3g}")
    known = [one.flops for one in work if one.flops is not None]
    flops, hours = (f"{sum(known):.2e}", f"{sum(known) / teraflops / 3.6e15:.3g}") if known else ("size unknown", "")
    table.add_row("together", f"{sum(one.tokens for one in work):,}", flops, hours)
    console.print(table)
    print("Upper bounds: every text at its full length, nothing found in the store; attention and loading not counted.")
    if any(one.flops is None for one in work):
        print(
            "The Hub does not tell the size of every model here, or cannot be reached; local folders are counted always."
        )
