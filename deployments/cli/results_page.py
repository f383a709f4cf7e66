"""`docs/results_tiny.md`: the study's effects over several seeds, with what was aimed at and what was missed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from data_contracts.tables.effects import Effect


@dataclass(frozen=True)
class Goal:
    """What an effect should reach: a least difference in each of all seeds but `exceptions`, and on average."""

    effect: str
    arms: tuple[str, ...] | None  # None: every arm
    least: float = 0.0
    least_mean: float = 0.0
    exceptions: int = 0

    def covers(self, effect: str, arm: str) -> bool:
        """Whether a row of the table counts for this goal."""
        return effect == self.effect and (self.arms is None or arm in self.arms)

    def reached(self, differences: Sequence[float], seeds: int) -> bool:
        """Whether the differences reach the goal; a seed on which nothing could be compared has none, and misses it."""
        enough = sum(difference > self.least for difference in differences) >= max(seeds - self.exceptions, 1)
        return enough and sum(differences) / len(differences) >= self.least_mean


GOALS = (
    Goal("best - worst responder", None, least=0.15),
    Goal("size: large - mid (3 shots)", None),
    Goal("size: mid - small (3 shots)", None),
    Goal("demonstrations: good - average (large, 3 shots)", None),
    Goal("filter: agreement with gold, kept - all", None),
    Goal("reward model - longer wins (pair accuracy)", None),
    Goal("data: RMSP - self-play", ("as-is veto", "no as-is veto")),
    Goal("SFT: on RMSP - on self-play", ("as-is veto", "no as-is veto")),
    Goal("PPO - its SFT start", ("likelihood added, bounded advantage",), least_mean=0.02, exceptions=1),
)
Effects = Mapping[int, Sequence[Effect]]  # by seed
Found = Mapping[int, Effect]  # of one effect and arm, by seed


def write_page(effects: Effects, profile: str, kind: str, questions: int, command: str) -> str:
    """The page as Markdown.

    Args:
        effects: rows by seed; what could not be compared on a seed has no row there.
        profile: name of the profile that was run.
        kind: "report", "development" or "other" seeds.
        questions: test questions that every model answered.
        command: what regenerates the page.
    """
    seeds = sorted(effects)
    rows: dict[tuple[str, str], dict[int, Effect]] = {}
    for seed in seeds:
        for row in effects[seed]:
            rows.setdefault((row.effect, row.arm), {})[seed] = row
    lines = [
        f"# Results in the tiny world (profile `{profile}`)",
        "",
        "A miniature: models of 55 to 220 thousand weights in a made-up world, whose design fixes how large every effect",
        "can be. It shows that the method's parts do what they should, not how well it works on real language models.",
        "",
        f"- Written by `{command}`; not edited by hand.",
        f"- {kind.capitalize()} seeds {', '.join(map(str, seeds))} (`deployments/cli/results_seeds.yaml`); a seed sets world,",
        "  ladder, data, training and evaluation. Each arm ran once per seed.",
        f"- {questions:,} test questions per model, names and tasks that no query asks about; sampled answers (T = 1, top-p .9).",
        "- A cell is the difference of two means of gold (0 to 1) or of shares, with a 95 % interval from a bootstrap over",
        "  people and tasks asked about. It speaks of this one world and ladder; the row of seeds is the replication.",
        '- "Rows" are the answers or pairs behind each of the two means, from the seed with the fewest to the one with the most.',
        "",
        "## What was aimed at and missed",
        "",
        *(_missed(rows, len(seeds)) or ["Nothing: every goal held."]),
        "",
    ]
    for heading, chosen in _sections(list(rows)):
        lines += [f"## {heading}", "", _header(seeds), "|---|" + "---|" * (len(seeds) + 4)]
        lines += [_line(name, rows[name], seeds) for name in chosen] + [""]
    return "\n".join(lines)


def _sections(names: list[tuple[str, str]]) -> list[tuple[str, list[tuple[str, str]]]]:
    headings = {
        "The rule of thumb": ("best", "size", "demonstrations", "shots"),
        "The filter": ("filter",),
        "The reward model": ("reward model",),
        "Self-play and SFT": ("data", "SFT"),
        "PPO": ("PPO",),
    }
    return [(title, [name for name in names if name[0].startswith(starts)]) for title, starts in headings.items()]


def _header(seeds: Sequence[int]) -> str:
    return "| effect | " + " | ".join(f"seed {seed}" for seed in seeds) + " | mean | above 0 | rows | goal |"


def _line(name: tuple[str, str], found: Found, seeds: Sequence[int]) -> str:
    cells = []
    for seed in seeds:
        row = found.get(seed)
        if row is None:
            cells.append("not measured")
            continue
        means = f"{_number(row.first_mean)} - {_number(row.second_mean)}"
        interval = f"[{_signed(row.low)}, {_signed(row.high)}]"
        cells.append(f"**{_signed(row.difference)}** {interval}<br>{means}")
    values = _values(found)
    cells += [_signed(sum(values) / len(values)), f"{sum(value > 0 for value in values)}/{len(seeds)}", _sizes(found)]
    goal = _goal(*name)
    return f"| {_title(*name)} | {' | '.join(cells)} | {_verdict(goal, found, len(seeds)) if goal else 'reported'} |"


def _sizes(found: Found) -> str:
    sizes, rows = [], found.values()
    for side in ([row.first_rows for row in rows], [row.second_rows for row in rows]):
        counts = sorted(side)
        sizes.append(f"{counts[0]:,}" + (f" to {counts[-1]:,}" if counts[-1] > counts[0] else ""))
    return sizes[0] if sizes[0] == sizes[1] else " - ".join(sizes)


def _missed(rows: Mapping[tuple[str, str], Found], seeds: int) -> list[str]:
    lines = []
    for name, found in rows.items():
        goal = _goal(*name)
        if goal and not goal.reached(_values(found), seeds):
            lines.append(f"- **{_title(*name)}**: {_verdict(goal, found, seeds)}")
    absent = [goal for goal in GOALS if not any(goal.covers(*name) for name in rows)]
    return lines + [f"- **{goal.effect}**: measured on no seed" for goal in absent]


def _goal(effect: str, arm: str) -> Goal | None:
    return next((goal for goal in GOALS if goal.covers(effect, arm)), None)


def _verdict(goal: Goal, found: Found, seeds: int) -> str:
    values = _values(found)
    held = sum(value > goal.least for value in values)
    wanted = f"above {goal.least:g} in {seeds - goal.exceptions}/{seeds}"
    mean = f", mean at least {goal.least_mean:g}" if goal.least_mean else ""
    unmeasured = f"; not measured on {seeds - len(values)}" if len(values) < seeds else ""
    return f"{'reached' if goal.reached(values, seeds) else 'missed'}: {held}/{seeds} ({wanted}{mean}{unmeasured})"


def _title(effect: str, arm: str) -> str:
    return f"{effect}; {arm}" if arm else effect


def _values(found: Found) -> list[float]:
    return [row.difference for row in found.values()]


def _number(value: float) -> str:
    return f"{value:.3f}".replace("0.", ".", 1)


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("0.", ".", 1)
