"""`almost run`: flow `almost` in this process, with progress in the terminal."""

import json
import logging
import sys
import time

from data_contracts.config.profiles import load_profile
from data_contracts.config.use import USABLE
from data_contracts.errors import ConfigError
from data_contracts.store.artifact_store import Store
from deployments.cli.orphans import end_orphaned_servers


def settings_of(given: list[str]) -> list[str]:
    """`--use NAME=FILE` as settings of the section `use`.

    Raises:
        ConfigError: no file, or a name of nothing that can be brought along.
    """
    settings = []
    for text in given:
        name, _, source = text.partition("=")
        if name not in USABLE or not source:
            raise ConfigError(f"--use {text}: expected NAME=FILE, where NAME is {' or '.join(USABLE)}")
        settings.append(f"use.{name}={json.dumps(source)}")  # YAML reads JSON
    return settings


def run_profile(profile: str, home: str, settings: list[str], until: str | None, from_: str | None) -> None:
    """Run a profile; the input is checked before Prefect starts, so that a typo costs no time.

    Raises:
        ConfigError: profile, setting, stage name or path is wrong.
    """
    started = time.monotonic()
    logging.getLogger("almost").addHandler(logging.NullHandler())  # the flow reads the profile again, and is heard then
    config = load_profile(profile, settings)
    from tasks.inputs.check_inputs import check_inputs
    from tasks.runtime.stage_range import StageRange, stage_named

    stages = StageRange(stage_named("--until", until), stage_named("--from", from_))
    check_inputs(config)
    store = Store(home)
    from deployments.cli.terminal import Terminal  # imports Prefect, which takes a second: a typo is told before

    end_orphaned_servers()
    with Terminal(f"profile {config.profile}, store {home}") as terminal:
        from flows.almost import almost

        run_id = almost(
            profile=profile,
            overrides=tuple(settings),
            home=home,
            stop_after=stages.until,
            start_from=stages.from_,
        )
    terminal.summarise(store, run_id, time.monotonic() - started)
    sys.stdout.flush()
