"""The card of a data set that a run made: how its rows came to be, how many were left out and why, how far they can be trusted.

Markdown with the Hub's front matter, to lie beside the Parquet parts as README.md.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from data_contracts.config.run_config import LADDER, TINY_PREFIX
from data_contracts.rows.row import Row
from data_contracts.tables.comparisons import Comparison
from data_contracts.tables.demonstrations import Demonstration
from tasks.reporting.funnel import FunnelRow
from tasks.reporting.run_summary import RunSummary

MINIATURE = "Texts about a made-up world of a few hundred facts: a miniature, no data to train a language model on."
NO_HUMANS = "Every text is a language model's; no human wrote, labelled or checked any of it."


@dataclass(frozen=True)
class DatasetKind:
    """What is said of a data set by its contract."""

    name: str
    contract: type[Row]
    what: str
    paper: str
    sections: tuple[str, ...]  # of the profile that shaped it
    steps: tuple[str, ...]  # of the funnel that tell of it


COMPARISONS = DatasetKind(
    "comparisons",
    Comparison,
    "Pairs of answers to one query, ordered by who wrote them and not by reading them: a larger model's over a smaller one's, "
    "more shots' over fewer, better demonstrations' over worse. A row says by which filter it was dropped, if by any; `kept` "
    "rows train the reward model.",
    "section 2.1",
    ("models", "responders", "sampling", "ranking", "filter", "as_is"),
    ("queries", "responses", "comparisons"),
)
DEMONSTRATIONS = DatasetKind(
    "demonstrations",
    Demonstration,
    "Conversations of two models, an assistant's answer a row: of several sampled answers the one that the reward model scored "
    "highest. All candidates are kept with their scores; `split` says which queries SFT may see.",
    "section 2.2",
    ("models", "self_play"),
    ("queries", "demonstrations"),
)


def dataset_card(kind: DatasetKind, summary: RunSummary, funnel: Iterable[FunnelRow], files: str) -> str:
    """The card as Markdown.

    Args:
        kind: which data set.
        summary: the run; its metrics are the only figures beside the funnel's.
        funnel: the run's funnel.
        files: folder of the Parquet parts.
    """
    front = {
        "tags": ["almost", "synthetic", kind.name],
        "configs": [{"config_name": "default", "data_files": "part-*.parquet"}],
    }
    lines = ["---", yaml.safe_dump(front, sort_keys=False).strip(), "---", "", f"# {kind.name} of {summary.run_id}", ""]
    lines += [
        f"{kind.what} *Aligning Large Language Models through Synthetic Feedback* (2305.13735), {kind.paper}.",
        "",
    ]
    lines += ["## Before you use it", "", *(f"- {line}" for line in _warnings(kind, summary)), ""]
    lines += ["## Rows", "", "| | rows | share kept | left out |", "|---|---|---|---|"]
    told = [row for row in funnel if row.what.startswith(kind.steps)]
    lines += [f"| {row.what} | {row.rows:,} | {row.share()} | {row.left_out} |" for row in told]
    lines += ["", "## Columns", "", "| column | type |", "|---|---|"]
    lines += [f"| `{field.name}` | {_type(field.type)} |" for field in kind.contract.schema()]
    lines += ["", "## What made it", "", *_provenance(kind, summary, files), ""]
    return "\n".join(lines)


def _warnings(kind: DatasetKind, summary: RunSummary) -> Iterator[str]:
    if summary.config.get("world"):
        yield MINIATURE
    yield NO_HUMANS
    if kind is COMPARISONS:
        yield from _agreement(summary.metrics)
    yield from _contamination(summary.metrics)
    sources = summary.config.get("models", {})
    writers = sorted(
        {str(sources[role]) for role in LADDER if not str(sources.get(role, TINY_PREFIX)).startswith(TINY_PREFIX)}
    )
    if writers:
        yield f"The licences of its writers apply to their texts: {', '.join(f'`{name}`' for name in writers)}."


def _agreement(metrics: Mapping[str, float]) -> Iterator[str]:
    assumed, kept = (metrics.get(f"comparisons.gold_agreement.{rows}") for rows in ("all", "kept"))
    if assumed is None:
        yield "How often the order is right was not measured: nobody knows the truth about real queries."
    else:
        after = f", of the kept ones in {kept:.1%}" if kept is not None else ""
        yield f"The order agrees with the judge that knows the facts in {assumed:.1%} of all pairs that differ{after}."


def _contamination(metrics: Mapping[str, float]) -> Iterator[str]:
    texts = metrics.get("contamination.texts")
    if texts is None:
        yield "Its queries were not compared with any evaluation set."
    else:
        found, used = metrics.get("contamination.overlapping", 0.0), metrics.get("contamination.in_use", 0.0)
        yield (
            f"Its queries were compared with {texts:,.0f} texts of the run's evaluation sets: {found:,.0f} overlapped, and "
            f"{used:,.0f} of those are in use."
        )


def _provenance(kind: DatasetKind, summary: RunSummary, files: str) -> Iterator[str]:
    seeds = ", ".join(f"{name} {seed}" for name, seed in summary.seeds.items())
    yield f"- Run `{summary.run_id}` of profile `{summary.profile}`, {summary.started_at}; seeds: {seeds}."
    yield f"- Rows: `{files}/part-*.parquet`, contract `{kind.contract.contract_id()}`; `almost lineage ID` follows one."
    yield ""
    config: dict[str, Any] = {name: summary.config[name] for name in kind.sections if name in summary.config}
    yield from ("```yaml", yaml.safe_dump(config, sort_keys=False, allow_unicode=True).strip(), "```")


def _type(kind: object) -> str:
    return str(kind).replace("|", "\\|")
