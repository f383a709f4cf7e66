"""The chain on real input: pretrained weights, real seed queries, conversations short enough for 512 tokens."""

import json
import os
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.flows.command import ROOT, Command, outputs_of, summary_of

DATA = Path(os.environ.get("ALMOST_DATA", "../shared/data"))
PROFILE = ROOT / "tests" / "real_weights" / "profile.yaml"

pytestmark = [
    pytest.mark.flow,
    pytest.mark.skipif(not (DATA / "weights").is_dir(), reason=f"no data at {DATA} (ALMOST_DATA)"),
]


def at(relative: str) -> str:
    return str((DATA / relative).absolute())


def test_the_chain_runs_on_pretrained_weights(almost: Command, tmp_path: Path) -> None:
    home, weights = tmp_path / "home", at("weights/stories260K")
    settings = {f"models.{role}": weights for role in ("small", "mid", "large", "reward", "policy")} | {
        "prompts.seed_queries": at("prompts/seed_prompts.txt"),
        "evaluation.preference_files": json.dumps([at("hh_rlhf/harmless-base_test.jsonl.gz")]),
        "evaluation.overlap_files": json.dumps([at("vicuna80/question.jsonl")]),
        "evaluation.preference_rows": "20",
    }
    done = almost.run(
        "run", "--profile", str(PROFILE), "--home", str(home),
        *(word for name, value in settings.items() for word in ("--set", f"{name}={value}")),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    summary = summary_of(home)
    assert summary["status"] == "finished"
    assert summary["metrics"]["queries.kept"] == 24
    assert summary["metrics"]["preferences:harmless-base_test.jsonl.gz.reward.n"] > 0
    assert not any(name.startswith("gold") for name in summary["metrics"]), "there is no gold outside the tiny world"
    checkpoint = next(path for path in outputs_of(home, "optimize_policy") if path.parent.name == "policy@1")
    [folder] = checkpoint.glob("files-*")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    prompt = tokenizer("Human: Who is Tim?\n\nAssistant:", return_tensors="pt")
    generated = model.generate(**prompt, max_new_tokens=8, do_sample=False)
    assert generated.shape[1] > prompt["input_ids"].shape[1]
