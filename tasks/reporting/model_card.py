"""The card of a model that a run trained: what made it, what was measured of it, and what speaks against it.

Markdown with the Hub's front matter, to lie beside the weights as README.md. It says what the run's record says: a
figure that was not measured is absent, and one that speaks against the model comes before those that speak for it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from data_contracts.config.run_config import TINY_PREFIX
from data_contracts.folder_contracts import Checkpoint, PolicyCheckpoint, RewardCheckpoint
from data_contracts.store.manifest import Provenance
from models.evaluation.benchmarks.catalogue import BENCHMARKS
from tasks.reporting.metric import Shown
from tasks.reporting.metric_rows import COLUMNS, metric_rows
from tasks.reporting.run_summary import RunSummary
from tasks.reporting.words import ALGORITHMS

MINIATURE = "Trained and measured in a made-up world of a few hundred facts: a miniature, no language model to use."
NOT_CHECKED = (
    "No human labelled its training data or checked its answers, and it was not tested for safety. It learnt from texts of "
    "language models, ranked by a rule of thumb (larger over smaller, more shots over fewer, better demonstrations over worse)."
)


@dataclass(frozen=True)
class ModelKind:
    """What is said of a model by the step that made it."""

    name: str
    contract: type[Checkpoint]
    subject: str
    what: str
    paper: str
    pipeline: str
    base: str  # its role in the profile
    prefixes: tuple[str, ...] = ()


REWARD = ModelKind(
    "reward-model",
    RewardCheckpoint,
    "reward",
    "A reward model: it gives a conversation's last answer a number, the higher the better.",
    "section 2.1",
    "text-classification",
    "reward",
    ("reward.", "reward_card.", "longer_gold_pairs."),
)
SFT = ModelKind(
    "sft-model",
    PolicyCheckpoint,
    "sft",
    "A model fine-tuned on conversations whose answers a reward model chose (RM-guided self-play).",
    "section 2.2",
    "text-generation",
    "policy",
)


def policy_kind(algorithm: str) -> ModelKind:
    """The policy that `algorithm` made from the SFT model."""
    return ModelKind(
        f"{algorithm}-model",
        PolicyCheckpoint,
        algorithm,
        f"A model optimised by {ALGORITHMS.get(algorithm, algorithm)} from the SFT model.",
        "section 2.3",
        "text-generation",
        "policy",
        (f"{algorithm}.", f"judge.{algorithm}_against_"),
    )


def model_card(kind: ModelKind, summary: RunSummary, made: Provenance, files: str) -> str:
    """The card as Markdown.

    Args:
        kind: which model.
        summary: the run; its metrics are the only figures.
        made: provenance of the checkpoint.
        files: where the weights are.
    """
    base = str(summary.config["models"][kind.base])
    own = {name: value for name, value in summary.metrics.items() if _belongs(kind, name)}
    front: dict[str, Any] = {
        "library_name": "transformers",
        "pipeline_tag": kind.pipeline,
        "tags": ["almost", "synthetic-feedback", kind.name],
    }
    if not base.startswith(TINY_PREFIX) and not base.startswith((".", "/", "~")):
        front["base_model"] = base.partition("@")[0]
    lines = ["---", yaml.safe_dump(front, sort_keys=False).strip(), "---", "", f"# {kind.name} of {summary.run_id}", ""]
    lines += [
        f"{kind.what} *Aligning Large Language Models through Synthetic Feedback* (2305.13735), {kind.paper}.",
        "",
    ]
    lines += ["## Before you use it", "", *(f"- {line}" for line in _warnings(kind, summary, own)), ""]
    lines += ["## What was measured", "", *_measured(own), ""]
    lines += ["## What made it", "", *_provenance(kind, base, summary, made, files), ""]
    return "\n".join(lines)


def _belongs(kind: ModelKind, name: str) -> bool:
    return name.startswith(kind.prefixes) or kind.subject in name.split(".")


def _warnings(kind: ModelKind, summary: RunSummary, own: Mapping[str, float]) -> Iterator[str]:
    if summary.config.get("world"):
        yield MINIATURE
    yield NOT_CHECKED
    yield from _reward_warnings(summary.metrics) if kind is REWARD else _policy_warnings(kind, summary.metrics)
    absent = [one.title for name, one in BENCHMARKS.items() if not any(metric.startswith(f"{name}.") for metric in own)]
    if absent:
        yield f"Not measured in this run: {', '.join(absent)}."
    if not str(summary.config["models"][kind.base]).startswith(TINY_PREFIX):
        yield "Its licence is that of the model it was made from."


def _reward_warnings(metrics: Mapping[str, float]) -> Iterator[str]:
    if metrics.get("reward_card.flag.collapsed"):
        yield "Flagged as collapsed: it gives nearly all answers the same score."
    if metrics.get("reward_card.flag.length_bias"):
        share = metrics.get("reward_card.chooses_longer")
        yield "Flagged for length bias" + (f": it prefers the longer answer in {share:.0%} of pairs." if share else ".")
    for ours, longer, where in (
        ("reward_gold_pairs.reward", "longer_gold_pairs.longer_wins", "pairs judged by the world's facts"),
        ("reward_card.accuracy", "reward_card.longer_wins", "its held-out pairs"),
    ):
        low = metrics.get(f"{ours}.low", metrics.get(ours))
        if low is not None and longer in metrics and low <= metrics[longer]:
            accuracy, rule = _percent(metrics[ours]), _percent(metrics[longer])
            yield f"On {where} it is not clearly better than the rule 'the longer answer wins': {accuracy} against {rule}."


def _policy_warnings(kind: ModelKind, metrics: Mapping[str, float]) -> Iterator[str]:
    for start, name in (("sft", "the SFT model it started from"), ("base", "the model before any training")):
        own, other = metrics.get(f"gold_questions.{kind.subject}"), metrics.get(f"gold_questions.{start}")
        if start != kind.subject and own is not None and other is not None and own < other:
            yield f"Worse than {name} by the judge that knows the truth: {_percent(own)} against {_percent(other)}."
        rate = metrics.get(f"judge.{kind.subject}_against_{start}.win_rate")
        if rate is not None and rate < 0.5:
            yield f"Loses to {name} in A/B tests: win rate {_percent(rate)}."
    for failure in ("empty", "repetitive", "unfinished", "off_topic"):
        share = metrics.get(f"failures.{failure}.{kind.subject}", 0.0)
        if share >= 0.05:
            yield f"{share:.0%} of its answers are {failure.replace('_', '-')}."


def _percent(share: float) -> str:
    return f"{Shown.SHARE.number(share)}%"


def _measured(own: Mapping[str, float]) -> Iterator[str]:
    if not own:
        yield "Nothing."
        return
    yield f"| {' | '.join(COLUMNS)} |"
    yield "|---|---|---|---|"
    yield from (f"| {' | '.join(row.cells())} |" for row in metric_rows(own))


def _provenance(kind: ModelKind, base: str, summary: RunSummary, made: Provenance, files: str) -> Iterator[str]:
    seeds = ", ".join(f"{name} {seed}" for name, seed in summary.seeds.items())
    versions = ", ".join(f"{name} {version}" for name, version in sorted(made.versions.items()))
    yield f"- Base: `{base}` (role `{kind.base}` of profile `{summary.profile}`)."
    yield f"- Run `{summary.run_id}`, {summary.started_at}; seeds: {seeds}."
    yield f"- Step `{made.step}`, version {made.step_version}; {versions}."
    yield f"- Weights: `{files}`, a folder that transformers loads."
    inputs = [f"`{parent.path}`" for parent in made.parents if parent.path]
    if inputs:
        yield f"- Made from {', '.join(inputs)} of store `{summary.home}`; `almost lineage` follows their rows."
    yield ""
    yield from ("```yaml", yaml.safe_dump(made.config, sort_keys=False, allow_unicode=True).strip(), "```")
