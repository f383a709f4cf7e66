"""Cards of models and data sets: what they warn of, which figures they show, and that the Hub's own reader takes them."""

from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import DatasetCard, ModelCard

from data_contracts.folder_contracts import PolicyCheckpoint
from data_contracts.store.artifact_store import Store
from data_contracts.store.manifest import Parent, Provenance
from tasks.reporting.cards import write_cards
from tasks.reporting.dataset_card import COMPARISONS, DEMONSTRATIONS, dataset_card
from tasks.reporting.funnel import FunnelRow
from tasks.reporting.metric_titles import shown_metric
from tasks.reporting.model_card import REWARD, SFT, ModelKind, model_card, policy_kind
from tasks.reporting.run_summary import RunSummary
from tasks.reporting.run_tables import RunTables
from tasks.runtime.run_record import StepRecord

PPO = policy_kind("ppo")
MADE = Provenance(
    step="finetune_policy", step_version="4", code="c", config={"sft": {"epochs": 3.0}, "seed": 1},
    parents=(Parent(argument="demonstrations", identity="x", path="demonstrations@1/dd"), Parent(argument="base", identity="m")),
    versions={"trl": "1.16.0", "torch": "2.13.0"},
)  # fmt: skip


def summary(metrics: dict[str, float], base: str = "someone/base-1b", world: bool = False) -> RunSummary:
    roles = ("small", "mid", "large", "reward", "policy")
    return RunSummary(
        run_id="20260101-000000-own-abcd", status="finished", profile="own", home="s3://bucket/home", flow_run_id=None,
        started_at="2026-01-01T00:00:00+00:00", wall_s=1, process_startup_s=None, startup_s=0, working_s=0,
        orchestration_s=0, seed=1, seeds={"data": 1, "train": 2}, steps=[], metrics=metrics,
        config={"models": dict.fromkeys(roles, base), "world": {"names": 12} if world else None, "self_play": {"turns": 2}},
    )  # fmt: skip


def card(kind: ModelKind, metrics: dict[str, float], **more: Any) -> str:
    return model_card(kind, summary(metrics, **more), MADE, "s3://bucket/home/checkpoint@1/k/files-1")


def test_the_hub_reads_a_model_card():
    read = ModelCard(card(SFT, {}))
    assert read.data.to_dict() == {
        "library_name": "transformers", "pipeline_tag": "text-generation", "base_model": "someone/base-1b",
        "tags": ["almost", "synthetic-feedback", "sft-model"],
    }  # fmt: skip
    assert "base_model" not in ModelCard(card(SFT, {}, base="tiny:mid")).data.to_dict()
    assert "base_model" not in ModelCard(card(SFT, {}, base="/models/own")).data.to_dict()
    assert ModelCard(card(SFT, {}, base="someone/base-1b@abc")).data.to_dict()["base_model"] == "someone/base-1b"


def test_a_model_card_tells_what_made_it():
    text = card(SFT, {})
    for part in (
        "Base: `someone/base-1b` (role `policy` of profile `own`)", "seeds: data 1, train 2",
        "Step `finetune_policy`, version 4; torch 2.13.0, trl 1.16.0", "`s3://bucket/home/checkpoint@1/k/files-1`",
        "Made from `demonstrations@1/dd` of store `s3://bucket/home`", "```yaml\nsft:\n  epochs: 3.0\nseed: 1\n```",
    ):  # fmt: skip
        assert part in text
    assert "Its licence is that of the model" in text
    assert "Nothing." in text.split("## What was measured")[1], "no figure is made up"


def test_each_model_shows_its_own_figures_and_names_what_is_missing():
    metrics = {
        "reward.heldout_accuracy": 0.9, "static_hhh.reward": 0.6, "static_hhh.sft": 0.5, "static_hhh.helpful.ppo": 0.7,
        "gold_questions.base": 0.1, "ppo.kl.last": 0.2, "failures.empty.sft": 0.0, "judge.ppo_against_sft.win": 3,
    }  # fmt: skip
    shown = {kind.name: card(kind, metrics).split("## What was measured")[1] for kind in (REWARD, SFT, PPO)}
    found = {
        name: sorted(metric for metric in metrics if f"| {shown_metric(metric).title} |" in text)
        for name, text in shown.items()
    }
    assert found == {
        "reward-model": ["reward.heldout_accuracy", "static_hhh.reward"],
        "sft-model": ["failures.empty.sft", "static_hhh.sft"],
        "ppo-model": ["judge.ppo_against_sft.win", "ppo.kl.last", "static_hhh.helpful.ppo"],
    }
    assert "Not measured in this run: TruthfulQA MC1, MMLU, LAMBADA." in card(SFT, metrics)


@pytest.mark.parametrize(
    ("kind", "metrics", "warning"),
    [
        (PPO, {"gold_questions.ppo": 0.66, "gold_questions.sft": 0.82}, "Worse than the SFT model it started from by"),
        (PPO, {"gold_questions.ppo": 0.4, "gold_questions.base": 0.5}, "Worse than the model before any training"),
        (SFT, {"gold_questions.sft": 0.4, "gold_questions.base": 0.5}, "40.0% against 50.0%"),
        (PPO, {"judge.ppo_against_sft.win_rate": 0.48}, "Loses to the SFT model it started from in A/B tests"),
        (SFT, {"failures.off_topic.sft": 0.061}, "6% of its answers are off-topic."),
        (REWARD, {"reward_card.flag.collapsed": 1.0}, "Flagged as collapsed"),
        (REWARD, {"reward_card.flag.length_bias": 1.0, "reward_card.chooses_longer": 0.953}, "longer answer in 95%"),
        (REWARD, {"reward_card.flag.length_bias": 1.0}, "Flagged for length bias."),
        (
            REWARD,
            {
                "reward_gold_pairs.reward": 0.7,
                "reward_gold_pairs.reward.low": 0.64,
                "longer_gold_pairs.longer_wins": 0.65,
            },
            "it is not clearly better than the rule 'the longer answer wins': 70.0% against 65.0%.",
        ),
        (REWARD, {"reward_card.accuracy": 0.6, "reward_card.longer_wins": 0.6}, "On its held-out pairs"),
    ],
)
def test_what_speaks_against_a_model_is_said_before_its_figures(
    kind: ModelKind, metrics: dict[str, float], warning: str
):
    before = card(kind, metrics).split("## What was measured")[0]
    assert warning in before
    assert warning not in card(kind, {})


def test_what_does_not_speak_against_a_model_is_no_warning():
    good = {
        "gold_questions.ppo": 0.9, "gold_questions.sft": 0.8, "gold_questions.base": 0.5, "failures.empty.ppo": 0.04,
        "judge.ppo_against_sft.win_rate": 0.5,
    }  # fmt: skip
    text = card(PPO, good).split("## What was measured")[0]
    assert not any(word in text for word in ("Worse", "Loses", "of its answers"))
    sure = {
        "reward_gold_pairs.reward": 0.7,
        "reward_gold_pairs.reward.low": 0.66,
        "longer_gold_pairs.longer_wins": 0.65,
    }
    assert "clearly better" not in card(REWARD, sure)


def test_a_miniature_says_so():
    assert "a miniature" in card(SFT, {}, base="tiny:mid", world=True)
    assert "licence" not in card(SFT, {}, base="tiny:mid", world=True)
    assert "a miniature" not in card(SFT, {})


def test_a_data_sets_card():
    funnel = [
        FunnelRow("queries", 8, 10, "2 duplicate"),
        FunnelRow("comparisons that every filter kept", 30, 80, "50 identical"),
        FunnelRow("demonstrations", 16, 16),
    ]
    measured = {
        "comparisons.gold_agreement.all": 0.784, "comparisons.gold_agreement.kept": 0.915, "contamination.texts": 1582,
        "contamination.overlapping": 83, "contamination.in_use": 2,
    }  # fmt: skip
    text = dataset_card(COMPARISONS, summary(measured), funnel, "s3://bucket/home/comparisons@1/k")
    assert DatasetCard(text).data.to_dict()["configs"] == [{"config_name": "default", "data_files": "part-*.parquet"}]
    for part in (
        "in 78.4% of all pairs that differ, of the kept ones in 91.5%", "1,582 texts", "83 overlapped, and 2 of those",
        "| comparisons that every filter kept | 30 | 37.5% | 50 identical |", "| `dropped_because` | string |",
        "apply to their texts: `someone/base-1b`.", "no human wrote",
    ):  # fmt: skip
        assert part in text
    assert "| demonstrations |" not in text
    silent = dataset_card(DEMONSTRATIONS, summary({}), funnel, "x")
    assert "| demonstrations | 16 | 100.0% |  |" in silent
    assert "not compared with any evaluation set" in silent
    assert "agrees" not in silent
    unmeasured = dataset_card(COMPARISONS, summary({}), [], "x")
    assert "How often the order is right was not measured" in unmeasured


def test_two_models_of_a_kind_have_a_card_each_and_one_found_again_has_one(store: Store, tmp_path: Path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "tokenizer_config.json").write_text("{}")
    (tmp_path / "model" / "model.safetensors").write_bytes(b"")
    steps = []
    for number in (0, 1, 1):
        (tmp_path / "model" / "config.json").write_text(f'{{"number": {number}}}')
        artifact = store.commit_folder(PolicyCheckpoint, f"k{number}" * 16, tmp_path / "model", MADE)
        paths = {artifact.path: 0}
        seconds: dict[str, Any] = {"seconds": 1.0, "startup_s": 0.0, "working_s": 1.0, "wall_s": 1.0}
        steps.append(
            StepRecord(
                label="finetune_policy", step="finetune_policy", rows=0, artifact=artifact.path, artifacts=paths,
                cached=False, **seconds,
            )
        )  # fmt: skip
    run = summary({}).model_copy(update={"steps": steps})
    written = write_cards(store, run, RunTables(store, steps))
    assert [Path(path).name for path in written] == ["sft-model.md", "sft-model-2.md"]
    first, second = ((store.backend.read_bytes(path) or b"").decode() for path in written)
    assert steps[0].artifact in first
    assert steps[1].artifact in second
