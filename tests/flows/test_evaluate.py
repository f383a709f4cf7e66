"""`almost evaluate` on checkpoints of a run: a base, what it became, and a reward model, on small files of its own."""

import json
from pathlib import Path

import pytest

from models.evaluation.benchmarks.static_hhh import SPLITS
from tests.flows.command import Command, outputs_of, summary_of

pytestmark = pytest.mark.flow


def write_data(folder: Path) -> Path:
    """Every benchmark, a handful of items each, and preference pairs."""
    for name in ("hhh", "truthfulqa", "lambada", "hh_rlhf", "mmlu/test", "mmlu/dev"):
        (folder / name).mkdir(parents=True)
    start = "\n\nHuman: Who is it?\n\nAssistant: "
    pairs = [{"chosen": f"{start}Mira, {n}.", "rejected": start + "No." * (n + 1)} for n in range(24)]
    hhh = [pair | {"type": split} for pair, split in zip(pairs, SPLITS * 2, strict=False)]
    (folder / "hhh/hhh.json").write_text(json.dumps(hhh))
    targets = [{"question": f"Is it {n}?", "mc1_targets": {"Yes.": 1, "No.": 0}} for n in range(3)]
    (folder / "truthfulqa/mc_task.json").write_text(json.dumps(targets))
    (folder / "lambada/test.jsonl").write_text('{"text": "Mira has a pet fox"}\n' * 3)
    (folder / "hh_rlhf/own.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    for split in ("test", "dev"):
        for subject in ("anatomy", "sociology"):
            (folder / f"mmlu/{split}/{subject}_{split}.csv").write_text("What is it?,one,two,three,four,B\n" * 3)
    return folder


def test_three_checkpoints_against_the_papers_tables(almost: Command, finished: Path, tmp_path: Path):
    data, home = write_data(tmp_path / "data"), tmp_path / "home"
    steps = ("pretrain_model", "finetune_policy", "train_reward_model")
    base, tuned, reward = (next(outputs_of(finished, step)[-1].glob("files-*")) for step in steps)
    asked = ["evaluate", "--data", str(data), "--home", str(home), "--tax", f"{base}={tuned}"]
    asked += [word for folder in (base, tuned, reward) for word in ("--model", str(folder))]
    done = almost.run(*asked)
    assert done.returncode == 0, done.stdout
    summary = summary_of(home)
    told = (home / "runs" / summary["run_id"] / "tables.md").read_text()
    for part in (
        "Table 1",
        "Table 2",
        "Tables 3 and 4",
        "Alignment tax",
        "| on preference pairs |",
        "paper: ALMoST RM",
    ):
        assert part in told
    metrics = summary["metrics"]
    assert metrics[f"static_hhh.{tuned.name}.n"] == 8
    assert metrics[f"truthfulqa_mc1.{reward.name}.n"] == 3
    assert metrics[f"mmlu.other.{base.name}.n"] == 3
    assert metrics[f"preferences:own.jsonl.{reward.name}.n"] == metrics["preferences:own.jsonl.longer_wins.n"] == 24
    assert f"tax.lambada.{tuned.name}" in metrics
    assert f"reward_card.accuracy.{reward.name}" in metrics
    assert f"lambada.{reward.name}" not in metrics
    assert "Alignment tax" in done.stdout
    refused = almost.run(*asked, "--benchmarks", "chess")
    assert refused.returncode == 2
    assert "unknown benchmark 'chess'; known: static_hhh" in refused.stdout
