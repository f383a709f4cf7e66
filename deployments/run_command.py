"""`almost run`: flow `almost` in this process, with progress in the terminal."""

import sys
import time

from data_contracts.errors import ConfigError
from data_contracts.profiles import load_profile
from data_contracts.store import Store
from deployments.terminal import Terminal


def run_profile(profile: str, home: str, settings: list[str], until: str | None, from_: str | None) -> None:
    """Run a profile; the input is checked before Prefect starts, so that a typo costs no time.

    Raises:
        ConfigError: profile, setting, stage name or path is wrong.
    """
    started = time.monotonic()
    config = load_profile(profile, settings)
    store = Store(home)
    from tasks.resolve_inputs import check_inputs
    from tasks.stage_range import StageName

    stages = {stage.value: stage for stage in StageName}
    for option, name in (("--until", until), ("--from", from_)):
        if name is not None and name not in stages:
            raise ConfigError(f"{option} {name}: unknown stage; known: {', '.join(stages)}")
    check_inputs(config)
    with Terminal(f"profile {config.profile}, store {home}") as terminal:
        from flows.almost import almost

        run_id = almost(
            profile=profile,
            overrides=tuple(settings),
            home=home,
            stop_after=stages[until] if until else None,
            start_from=stages[from_] if from_ else None,
        )
    terminal.summarise(store, run_id, time.monotonic() - started)
    sys.stdout.flush()
