"""The reward-model card on the run page and among the run's metrics."""

import json
from contextlib import suppress

from prefect.artifacts import create_markdown_artifact
from prefect.exceptions import MissingContextError
from prefect.runtime import flow_run

from data_contracts.folder_contracts import RewardCardFiles
from data_contracts.store.stored import Folder

FLAG = "reward_card.flag."
FLAGS = ("collapsed", "length_bias")


def reward_card_metrics(card: Folder[RewardCardFiles]) -> dict[str, float]:
    """Headline figures of a card; flags are 1 when raised. A figure that was not measured is absent."""
    found = json.loads((card.local() / "card.json").read_text(encoding="utf-8"))
    if not found["pairs"]:
        return {}
    metrics = {f"{FLAG}{flag}": float(flag in found["flags"]) for flag in FLAGS}
    names = ("accuracy", "longer_wins", "matched", "matched_longer_wins", "chooses_longer")
    estimates = {name: found[name] for name in names} | {f"axis.{k}": v for k, v in found["axes"].items()}
    for name, estimate in estimates.items():
        if estimate is not None:
            metrics[f"reward_card.{name}"] = estimate["value"]
            metrics[f"reward_card.{name}.low"], metrics[f"reward_card.{name}.high"] = estimate["low"], estimate["high"]
    calibration = found["calibration"]
    figures = {name: calibration[name] for name in ("ece", "brier", "temperature")}
    figures |= found["ensemble"]
    return metrics | {f"reward_card.{name}": value for name, value in figures.items() if value is not None}


def card_text(card: Folder[RewardCardFiles]) -> str:
    """The card as Markdown."""
    return (card.local() / "card.md").read_text(encoding="utf-8")


def publish_reward_card(card: Folder[RewardCardFiles]) -> None:
    """Put the card on the run page, if there is one."""
    if flow_run.id is None:
        return
    with suppress(MissingContextError):
        create_markdown_artifact(key="almost-reward-card", markdown=card_text(card), description="Reward-model card")
