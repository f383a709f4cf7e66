"""`almost run`: flow `almost` in this process, with progress in the terminal."""

import json
import sys
import time
from collections.abc import Iterable
from typing import Annotated

import typer

from data_contracts.errors import ConfigError
from data_contracts.store.home import home_url
from deployments.cli.options import HomeOption, ProfileOption, SetOption

UseOption = Annotated[
    list[str] | None, typer.Option("--use", metavar="queries=FILE", help="Your own in place of what a step makes.")
]
UntilOption = Annotated[str | None, typer.Option("--until", metavar="PHASE", help="Last phase to run.")]
FromOption = Annotated[
    str | None, typer.Option("--from", metavar="PHASE", help="Phases before it must be in the store already.")
]


def run(
    profile: ProfileOption = "tiny",
    home: HomeOption = None,
    settings: SetOption = None,
    use: UseOption = None,
    until: UntilOption = None,
    from_: FromOption = None,
) -> None:
    """Run the paper, from seed queries to a PPO model, with a profile's numbers."""
    from data_contracts.config.profiles import load_profile
    from data_contracts.store.artifact_store import Store
    from tasks.inputs.check_inputs import check_inputs
    from tasks.runtime.context import within
    from tasks.runtime.phases import PhaseRange, phase_named

    started, overrides = time.monotonic(), (*(settings or ()), *settings_of(use or ()))
    config = load_profile(profile, overrides)
    phases = PhaseRange(phase_named("--until", until), phase_named("--from", from_))
    check_inputs(config)
    store = Store(home_url(home))
    from deployments.cli.orphans import end_orphaned_servers
    from deployments.cli.terminal import Terminal
    from flows.almost import almost  # imports Prefect, which takes a second: a mistake is told before

    end_orphaned_servers()
    with Terminal(f"profile {config.profile}, store {store.url}") as terminal, within(checked_config=config):
        run_id = almost(
            profile=profile, overrides=overrides, home=store.url, stop_after=phases.until, start_from=phases.from_
        )
    terminal.summarise(store, run_id, time.monotonic() - started)
    sys.stdout.flush()


def settings_of(given: Iterable[str]) -> list[str]:
    """`--use NAME=FILE` as settings of the section `use`.

    Raises:
        ConfigError: no file, or a name of nothing that can be brought along.
    """
    from data_contracts.config.use import USABLE

    settings = []
    for text in given:
        name, _, source = text.partition("=")
        if name not in USABLE or not source:
            raise ConfigError(f"--use {text}: expected NAME=FILE, where NAME is {' or '.join(USABLE)}")
        settings.append(f"use.{name}={json.dumps(source)}")  # YAML reads JSON
    return settings
