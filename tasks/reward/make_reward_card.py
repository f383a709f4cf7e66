"""The reward-model card of a run: its held-out comparisons, read by `models/evaluation/reward_card.py`."""

import json
from dataclasses import asdict
from typing import Any

from data_contracts.config.evaluation import RewardCardSettings
from data_contracts.config.responders import Responder
from data_contracts.folder_contracts import RewardCardFiles
from data_contracts.store.artifact import Artifact
from data_contracts.tables.comparisons import Comparison
from data_contracts.tables.evaluations import LONGER_WINS, EvaluatedItem
from data_contracts.tables.reward_scores import RewardScore
from data_contracts.tables.training_log import TrainingLogEntry
from models.evaluation.reward_card import ScoredPair, Thresholds, make_card
from models.evaluation.reward_card_page import card_page, ensemble_lines
from tasks.runtime.context import job_folder
from tasks.runtime.step import step

NOT_MEASURED = "# Reward model\n\nNot measured: no comparison was held out (reward.heldout_share).\n"


@step(version="2")
def make_reward_card(
    scores: Artifact[RewardScore],
    comparisons: Artifact[Comparison],
    responders: tuple[Responder, ...],
    settings: RewardCardSettings,
    log: Artifact[TrainingLogEntry] | None = None,
) -> Artifact[RewardCardFiles]:
    """card.json and card.md, over the pairs the reward model was not trained on.

    `log` is the reward model's training log, where an ensemble has its figures.
    """
    pairs = heldout_pairs(read(RewardScore, scores).to_pylist(), read(Comparison, comparisons).to_pylist(), responders)
    ensemble = ensemble_figures(read(TrainingLogEntry, log).to_pylist()) if log is not None else {}
    return _write_card(pairs, settings, "Reward model", "held-out pairs", ensemble)


@step(version="1", run_name="{subject}")
def make_preference_card(
    subject: str, preferences: list[Artifact[EvaluatedItem]], settings: RewardCardSettings
) -> Artifact[RewardCardFiles]:
    """As `make_reward_card`, over the pairs of preference files: any reward model has one."""
    rows = [row for table in preferences for row in read(EvaluatedItem, table).to_pylist()]
    return _write_card(preference_pairs(rows, subject), settings, f"Reward model {subject}", "preference pairs")


def _write_card(
    pairs: list[ScoredPair],
    settings: RewardCardSettings,
    title: str,
    kind: str,
    ensemble: dict[str, float] | None = None,
) -> Artifact[RewardCardFiles]:
    folder = job_folder("card")
    folder.mkdir(parents=True, exist_ok=True)
    card = make_card(pairs, Thresholds(**settings.model_dump())) if pairs else None
    content: dict[str, Any] = {"pairs": 0} if card is None else asdict(card)
    (folder / "card.json").write_text(json.dumps(content | {"ensemble": ensemble or {}}, indent=1), encoding="utf-8")
    page = NOT_MEASURED if card is None else card_page(card, title, kind) + ensemble_lines(ensemble or {})
    (folder / "card.md").write_text(page, encoding="utf-8")
    return write_folder(RewardCardFiles, folder)


def preference_pairs(rows: list[dict[str, Any]], subject: str) -> list[ScoredPair]:
    """Pairs of preference files as scored pairs; the rows of `LONGER_WINS` hold the answers' lengths."""
    chars = {(r["benchmark"], r["item_id"]): r["option_scores"] for r in rows if r["subject"] == LONGER_WINS}
    pairs = []
    for row in rows:
        name = row["benchmark"], row["item_id"]
        if row["subject"] == subject and row["value"] is not None and name in chars:
            better, worse = row["option_scores"]
            pairs.append(ScoredPair(":".join(name), better, worse, int(chars[name][0]), int(chars[name][1])))
    return pairs


def ensemble_figures(log: list[dict[str, Any]]) -> dict[str, float]:
    """What the job that combined several reward models measured; empty for a single one."""
    return {row["metric"]: row["value"] for row in log if row["metric"].startswith("ensemble_")}


def heldout_pairs(
    scores: list[dict[str, Any]], comparisons: list[dict[str, Any]], responders: tuple[Responder, ...]
) -> list[ScoredPair]:
    """Held-out comparisons as scored pairs, with what tells their responders apart."""
    by_id = {row["comparison_id"]: row for row in comparisons}
    by_name = {responder.name: responder for responder in responders}
    pairs = []
    for row in scores:
        if row["split"] != "heldout":
            continue
        own = by_id.get(row["pair_id"], {})
        better, worse = own.get("chosen_responder"), own.get("rejected_responder")
        pairs.append(
            ScoredPair(
                row["query_id"],
                row["chosen_score"],
                row["rejected_score"],
                row["chosen_chars"],
                row["rejected_chars"],
                better,
                worse,
                own.get("chosen_response_id"),
                own.get("rejected_response_id"),
                differing_axes(by_name[better], by_name[worse]) if better in by_name and worse in by_name else (),
            )
        )
    return pairs


def differing_axes(first: Responder, second: Responder) -> tuple[str, ...]:
    """Along which axes of the rule of thumb two responders differ."""
    differs = {
        "size": first.model != second.model,
        "shots": first.shots != second.shots,
        "demonstrations": first.prompt != second.prompt,
    }
    return tuple(axis for axis, holds in differs.items() if holds)
