"""`almost results`: seeds, goals, and the page, on rows made by hand."""

import subprocess
import sys
from pathlib import Path

import pytest

from data_contracts.errors import ConfigError
from data_contracts.tables.effects import Effect
from deployments.cli.results_command import kind_of, measure, parse_seeds, report_seeds
from deployments.cli.results_page import GOALS, Goal, write_page
from flows.studies.miniature import measure_seed

ROOT = Path(__file__).resolve().parents[3]


def row(effect: str, difference: float, arm: str = "", rows: int = 1000) -> Effect:
    return Effect(
        effect_id=f"{effect}|{arm}", effect=effect, arm=arm, first_mean=0.5 + difference, second_mean=0.5,
        difference=difference, low=difference - 0.01, high=difference + 0.01, first_rows=rows, second_rows=rows,
        clusters=10,
    )  # fmt: skip


def test_report_and_development_seeds_are_apart_and_five_are_reported() -> None:
    assert len(report_seeds()) == 5
    assert kind_of(report_seeds()) == "report"
    assert kind_of([1, 2]) == "development"
    assert kind_of([report_seeds()[0], 1]) == "other"


def test_seeds_are_numbers_with_commas() -> None:
    assert parse_seeds("3,5") == [3, 5]
    assert parse_seeds(None) == report_seeds()
    with pytest.raises(ConfigError, match="--seeds 3;5"):
        parse_seeds("3;5")


@pytest.mark.parametrize(
    ("goal", "differences", "reached"),
    [
        (Goal("e", None), [0.01, 0.02, 0.01], True),
        (Goal("e", None), [0.01, 0.0, 0.01], False),  # no effect is not an effect
        (Goal("e", None, least=0.15), [0.2, 0.149, 0.3], False),
        (Goal("e", None, least_mean=0.02, exceptions=1), [0.05, -0.01, 0.03], True),
        (Goal("e", None, least_mean=0.02, exceptions=1), [0.03, -0.01, 0.01], False),  # its mean is .01
        (Goal("e", None, least_mean=0.02, exceptions=1), [0.5, -0.01, -0.01], False),
    ],
)
def test_goals_by_hand(goal: Goal, differences: list[float], reached: bool) -> None:
    assert goal.reached(differences, 3) is reached


def test_a_seed_on_which_nothing_could_be_compared_misses_the_goal() -> None:
    assert not Goal("e", None).reached([0.5, 0.5], 3)
    assert not Goal("e", None).reached([], 3)
    assert Goal("e", None, exceptions=1).reached([0.5, 0.5], 3)


def test_the_page_shows_every_effect_and_says_what_was_missed() -> None:
    effects = {
        101: [
            row(GOALS[0].effect, 0.3),
            row(GOALS[1].effect, -0.02, rows=812),
            row(GOALS[2].effect, 0.3),
            row("PPO - its SFT start", -0.2, "plain"),
        ],
        102: [row(GOALS[0].effect, 0.2), row(GOALS[1].effect, 0.05, rows=1204)],
    }
    page = write_page(effects, "tiny", "report", 1000, "almost results --seeds 101,102")
    missed = page.split("## What was aimed at and missed")[1].split("##")[0]
    assert GOALS[1].effect in missed
    assert "missed: 1/2 (above 0 in 2/2)" in missed
    assert GOALS[0].effect not in missed
    assert f"- **{GOALS[2].effect}**: missed: 1/2 (above 0 in 2/2; not measured on 1)" in missed
    assert f"- **{GOALS[3].effect}**: measured on no seed" in missed
    assert "| +.015 | 1/2 | 812 to 1,204 | missed" in page
    assert "**+.300** [+.290, +.310]<br>.800 - .500" in page
    plain = next(line for line in page.splitlines() if line.startswith("| PPO - its SFT start; plain"))
    assert "not measured" in plain
    assert plain.rstrip(" |").endswith("reported"), "the plain reward model's fall is shown, not aimed at"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seeds", "1,1"], "a seed is given twice"),
        (["--seeds", "one"], "give whole numbers"),
    ],
)
def test_bad_input_ends_in_one_line(arguments: list[str], message: str, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "deployments.cli.command_line",
        "results",
        "--home",
        str(tmp_path / "home"),
        *arguments,
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "home").exists()


def test_a_profile_with_which_an_arm_cannot_run_is_refused_at_once(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with pytest.raises(ConfigError, match=r"score_normalization=pairwise, with which .*: set samples_per_prompt to 2"):
        measure_seed.fn("tiny", 1, ["policy.samples_per_prompt=1"], str(home))
    assert not home.exists()


def test_a_profile_without_a_tiny_world_is_refused(tmp_path: Path) -> None:
    profile = tmp_path / "own.yaml"
    profile.write_text(
        "profile: own\n"
        "models: {small: a, mid: b, large: c, reward: a, policy: a}\n"
        "responders:\n"
        "  - {name: A, model: large, prompt: faithful, shots: 3}\n"
        "  - {name: B, model: small, prompt: hhh, shots: 1}\n"
    )
    with pytest.raises(ConfigError, match="has no tiny world; take --profile tiny"):
        measure(profile=str(profile), home=str(tmp_path / "home"), seeds=[1], settings=[], page=None, at_once=1)
