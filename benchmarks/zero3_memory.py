"""Bytes of parameters and optimizer state per rank: PPO under ZeRO-3 on two processes, against two plain processes.

Policy with AdamW, frozen reference and reward model, all random Llamas of 7.46M parameters in float32. Both runs make
one update on the same rollouts, whose metrics must agree within 1e-4; then every tensor that a rank keeps of weights,
master weights and moments is counted once, by its storage. Gradients, buffers for messages and activations are not.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from benchmarks._prefix_workload import engine_folder
from models.lm.chat_template import fit_embeddings, prepare_tokenizer

WORKER = "benchmarks._zero3_rank"
STAGES = {"plain": 0, "zero3": 3}


def measure() -> dict[str, Any]:
    """Megabytes per rank in both layouts, split by model, and their ratio."""
    with tempfile.TemporaryDirectory() as name, engine_folder() as folder:
        root = Path(name)
        _save_models(folder, root)
        found = {layout: _run(root, stage) for layout, stage in STAGES.items()}
    gaps = [abs(found["plain"]["metrics"][k] - v) for k, v in found["zero3"]["metrics"].items()]
    assert max(gaps) < 1e-4, f"the layouts disagree: {found}"
    totals = {layout: sum(each["bytes"].values()) for layout, each in found.items()}
    split = {
        f"{layout}_{part}_mb": round(size / 2**20, 2)
        for layout, each in found.items()
        for part, size in each["bytes"].items()
    }
    return {"ratio": round(totals["zero3"] / totals["plain"], 3), "largest_gap": f"{max(gaps):.1e}"} | split


def _save_models(folder: Path, root: Path) -> None:
    """The policy and a reward model of the same shape, with a prepared tokenizer."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"})
    prepare_tokenizer(tokenizer)
    for kind, name in ((AutoModelForCausalLM, "policy"), (AutoModelForSequenceClassification, "reward")):
        torch.manual_seed(1)
        extra = {} if name == "policy" else {"num_labels": 1}
        model = kind.from_pretrained(folder, **extra)
        fit_embeddings(model, tokenizer)
        model.save_pretrained(root / name)
        tokenizer.save_pretrained(root / name)


def _run(root: Path, stage: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = subprocess.run(
        [*command, "-m", WORKER, str(root), str(stage)], capture_output=True, text=True, timeout=1800, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"stage {stage} ended with {done.returncode}:\n{done.stderr[-4000:]}")
    return json.loads((root / f"stage{stage}.json").read_text())
