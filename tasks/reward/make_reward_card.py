"""The reward-model card of a run: its held-out comparisons, read by `models/evaluation/reward_card.py`."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from data_contracts.config.evaluation import RewardCardSettings
from data_contracts.config.responders import Responder
from data_contracts.folder_contracts import RewardCardFiles
from data_contracts.rows.rows import Rows
from data_contracts.store.stored import Folder, LocalFolder
from data_contracts.tables.comparisons import Comparison
from data_contracts.tables.evaluations import LONGER_WINS, EvaluatedItem
from data_contracts.tables.reward_scores import PairSplit, RewardScore
from data_contracts.tables.training_log import TrainingLogEntry
from models.evaluation.reward_card import ScoredPair, make_card
from models.evaluation.reward_card_page import card_page, ensemble_lines
from tasks.runtime.context import job_folder
from tasks.runtime.phases import Phase
from tasks.runtime.step import step

NOT_MEASURED = "# Reward model\n\nNot measured: no comparison was held out (reward.heldout_share).\n"


@step(version="3", phase=Phase.EVALUATION)
def make_reward_card(
    *,
    scores: Rows[RewardScore],
    comparisons: Rows[Comparison],
    responders: tuple[Responder, ...],
    settings: RewardCardSettings,
    log: Rows[TrainingLogEntry] | None = None,
) -> Folder[RewardCardFiles]:
    """card.json and card.md, over the pairs the reward model was not trained on.

    `log` is the reward model's training log, where an ensemble has its figures.
    """
    ensemble = ensemble_figures(log) if log is not None else {}
    return _write_card(
        heldout_pairs(scores, comparisons, responders), settings, "Reward model", "held-out pairs", ensemble
    )


@step(version="2", phase=Phase.EVALUATION, run_name="{subject}")
def make_preference_card(
    *, subject: str, preferences: list[Rows[EvaluatedItem]], settings: RewardCardSettings
) -> Folder[RewardCardFiles]:
    """As `make_reward_card`, over the pairs of preference files: any reward model has one."""
    items = [item for table in preferences for item in table]
    return _write_card(preference_pairs(items, subject), settings, f"Reward model {subject}", "preference pairs")


def _write_card(
    pairs: list[ScoredPair],
    settings: RewardCardSettings,
    title: str,
    kind: str,
    ensemble: dict[str, float] | None = None,
) -> Folder[RewardCardFiles]:
    folder = job_folder("card")
    folder.mkdir(parents=True, exist_ok=True)
    card = make_card(pairs, settings) if pairs else None
    content: dict[str, Any] = {"pairs": 0} if card is None else asdict(card)
    (folder / "card.json").write_text(json.dumps(content | {"ensemble": ensemble or {}}, indent=1), encoding="utf-8")
    page = NOT_MEASURED if card is None else card_page(card, title, kind) + ensemble_lines(ensemble or {})
    (folder / "card.md").write_text(page, encoding="utf-8")
    return LocalFolder(RewardCardFiles, folder)


def preference_pairs(items: Iterable[EvaluatedItem], subject: str) -> list[ScoredPair]:
    """Pairs of preference files as scored pairs; the rows of `LONGER_WINS` hold the answers' lengths."""
    found = list(items)
    chars = {(item.benchmark, item.item_id): item.option_scores for item in found if item.subject == LONGER_WINS}
    pairs = []
    for item in found:
        lengths = chars.get((item.benchmark, item.item_id))
        if item.subject == subject and item.option_scores is not None and lengths is not None:
            name = f"{item.benchmark}:{item.item_id}"
            better, worse = item.option_scores
            pairs.append(ScoredPair(name, better, worse, int(lengths[0]), int(lengths[1])))
    return pairs


def ensemble_figures(log: Iterable[TrainingLogEntry]) -> dict[str, float]:
    """What the job that combined several reward models measured; empty for a single one."""
    return {entry.metric: entry.value for entry in log if entry.metric.startswith("ensemble_")}


def heldout_pairs(
    scores: Iterable[RewardScore], comparisons: Iterable[Comparison], responders: tuple[Responder, ...]
) -> list[ScoredPair]:
    """Held-out comparisons as scored pairs, with what tells their responders apart."""
    heldout = [score for score in scores if score.split is PairSplit.HELDOUT]
    asked = {score.pair_id for score in heldout}
    comparison_of = {row.comparison_id: row for row in comparisons if row.comparison_id in asked}
    by_name = {responder.name: responder for responder in responders}
    pairs = []
    for score in heldout:
        own = comparison_of.get(score.pair_id)
        better = by_name.get(own.chosen_responder) if own else None
        worse = by_name.get(own.rejected_responder) if own else None
        pairs.append(
            ScoredPair(
                query_id=score.query_id,
                better_score=score.chosen_score,
                worse_score=score.rejected_score,
                better_chars=score.chosen_chars,
                worse_chars=score.rejected_chars,
                better_responder=own.chosen_responder if own else None,
                worse_responder=own.rejected_responder if own else None,
                better_id=own.chosen_response_id if own else None,
                worse_id=own.rejected_response_id if own else None,
                axes=differing_axes(better, worse) if better and worse else (),
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
