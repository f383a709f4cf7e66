"""`almost doctor`: looks at everything a run needs, beside each other and with a time limit, and prints a table."""

import threading
import time
from collections.abc import Callable, Mapping

from rich.console import Console
from rich.table import Table

from deployments.cli.checks import CHECKS, IMPORT_S, Finding, Status
from tasks.reporting.plain_text import plain

LIMIT_S = IMPORT_S + 10
PIPE_WIDTH = 120


def examine(home: str) -> int:
    """Print every check's finding; 0 when nothing necessary is broken, else 1."""
    findings = run_checks(CHECKS, home, LIMIT_S)
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    table = Table(box=None, pad_edge=False)
    for column in ("", "check", "found", "what to do"):
        table.add_column(column, overflow="fold")
    for name, finding in findings.items():
        table.add_row(finding.status.value, name, plain(finding.found, 400), plain(finding.advice, 400))
    console.print(table)
    broken = [name for name, finding in findings.items() if finding.status is Status.BROKEN]
    print(f"broken: {', '.join(broken)}" if broken else "everything necessary works")
    return 1 if broken else 0


def run_checks(checks: Mapping[str, Callable[[str], Finding]], home: str, limit_s: float) -> dict[str, Finding]:
    """All findings in the order of `checks`; one that raises or exceeds `limit_s` seconds in all is BROKEN."""
    findings: dict[str, Finding] = {}

    def run(name: str) -> None:
        try:
            findings[name] = checks[name](home)
        except Exception as error:  # noqa: BLE001 - a check that fails is a finding
            problem = f"{type(error).__name__}: {error}"
            findings[name] = Finding(Status.BROKEN, problem, "this must work before a run can")

    threads = {name: threading.Thread(target=run, args=(name,), daemon=True) for name in checks}
    deadline = time.monotonic() + limit_s
    for thread in threads.values():
        thread.start()
    for thread in threads.values():
        thread.join(max(0.0, deadline - time.monotonic()))
    late = Finding(
        Status.BROKEN, f"no answer within {limit_s:.0f} s", "see what it waits for: network, disk, GPU driver"
    )
    return {name: findings.get(name, late) for name in checks}
