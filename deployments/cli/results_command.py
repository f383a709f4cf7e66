"""`almost results`: measure the paper's effects in the tiny world over several seeds, and write the page."""

import subprocess
import sys
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml

from data_contracts.config.profiles import load_profile
from data_contracts.errors import AlmostError, ConfigError
from data_contracts.store.home import PROJECT_ROOT
from data_contracts.tables.effects import Effect
from deployments.cli.results_page import write_page

BAR_INDENT = "    "  # progress of a running step, as the terminal prints it into a file
SEEDS_FILE = Path(__file__).parent / "results_seeds.yaml"
QUESTIONS = 3000
OVERRIDES = (f"world.questions_per_split={QUESTIONS}", f"evaluation.questions={QUESTIONS}")


def measure(*, profile: str, home: str, seeds: list[int], settings: list[str], page: Path | None, at_once: int) -> None:
    """Run the study for every seed, `at_once` in processes of their own, and write the page.

    Raises:
        ConfigError: the profile has no tiny world, or a seed is given twice.
        AlmostError: the study of a seed failed.
    """
    if load_profile(profile, settings).world is None:
        raise ConfigError(f"almost results: profile {profile} has no tiny world; take --profile tiny")
    overrides = [*OVERRIDES, *settings]
    config = load_profile(profile, overrides)
    if len(set(seeds)) < len(seeds):
        raise ConfigError(f"--seeds {','.join(map(str, seeds))}: a seed is given twice")
    started = time.monotonic()
    if at_once > 1 and len(seeds) > 1:
        _measure_beside_each_other(profile, home, seeds, settings, at_once)
    from deployments.cli.terminal import Terminal
    from flows.studies.miniature import measure_seed

    effects: dict[int, list[Effect]] = {}
    with Terminal(f"study of profile {config.profile}, seeds {', '.join(map(str, seeds))}, store {home}"):
        for seed in seeds:
            effects[seed] = list(measure_seed(profile, seed, overrides, home))
    if page is not None:
        command = f"almost results --seeds {','.join(map(str, seeds))}" + "".join(f" --set {s}" for s in settings)
        questions = config.evaluation.questions
        page.write_text(write_page(effects, config.profile, kind_of(seeds), questions, command), encoding="utf-8")
        print(f"wrote {page} in {time.monotonic() - started:.0f} s")


def report_seeds() -> list[int]:
    """The seeds that were not used while developing."""
    return yaml.safe_load(SEEDS_FILE.read_text(encoding="utf-8"))["report"]


def kind_of(seeds: list[int]) -> str:
    """Whether all seeds are report seeds, all are development seeds, or neither."""
    listed = yaml.safe_load(SEEDS_FILE.read_text(encoding="utf-8"))
    return next((kind for kind in ("report", "development") if set(seeds) <= set(listed[kind])), "other")


def parse_seeds(text: str | None) -> list[int]:
    """`1,2,3` as numbers; the report seeds when nothing is given.

    Raises:
        ConfigError: something else than whole numbers.
    """
    if text is None:
        return report_seeds()
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise ConfigError(f"--seeds {text}: give whole numbers with commas between them, e.g. 101,102") from error


def _measure_beside_each_other(profile: str, home: str, seeds: list[int], settings: list[str], at_once: int) -> None:
    """One process a seed, so that all cores have work; what they made is then found in the store."""

    def run(seed: int) -> None:
        changes = [part for setting in settings for part in ("--set", setting)]
        command = [
            sys.executable,
            "-m",
            "deployments.cli.command_line",
            "results",
            "--profile",
            profile,
            "--home",
            home,
        ]
        child = subprocess.Popen(
            [*command, "--seeds", str(seed), "--no-page", *changes],
            cwd=PROJECT_ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert child.stdout is not None
        last: deque[str] = deque(maxlen=20)
        for line in child.stdout:
            last.append(line)
            if not line.startswith(BAR_INDENT):
                print(f"seed {seed}: {line.strip()}", flush=True)
        if child.wait():
            raise AlmostError(f"the study of seed {seed} ended with code {child.returncode}: {''.join(last)}")

    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(run, seeds))
