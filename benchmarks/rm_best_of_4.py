"""How much faster are four candidates per prompt scored together than each conversation apart?

A random reward model (the 7.45M-parameter trunk of the other benchmarks) scores 256 + 128 tokens, in float32 on one
thread; both run in the batches of `batch_size` conversations that `RewardModel` forms.
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from benchmarks._measuring import interleaved
from benchmarks._prefix_workload import VOCABULARY, engine_folder
from models.lm.chat_template import RenderedTurn
from models.reward.reward_model import RewardModel

PROMPT_TOKENS, ANSWER_TOKENS, CANDIDATES = 256, 128, 4
END, PAD = 1, 2


def measure(prompts: int = 32, rounds: int = 3, batch_size: int = 32) -> dict[str, Any]:
    """Conversations per CPU and wall second of both, and their ratio (CPU)."""
    with engine_folder() as trunk, tempfile.TemporaryDirectory() as folder:
        rewards = RewardModel(_save_reward_model(trunk, Path(folder)), threads=1, batch_size=batch_size, device="cpu")
        rewards.score_turn_groups(_groups(99, 2))
        results, seconds = interleaved(
            {
                "ours": lambda seed: rewards.score_turn_groups(_groups(seed, prompts)),
                "apart": lambda seed: rewards.score_turns([row for rows in _groups(seed, prompts) for row in rows]),
            },
            rounds,
        )
    worst = max(
        abs(a - b)
        for result in results
        for a, b in zip((x for scores in result["ours"] for x in scores), result["apart"], strict=True)
    )
    assert worst < 1e-4, f"scores differ by {worst}"
    rows = prompts * CANDIDATES
    return {
        "ratio": round(seconds["apart"].cpu_s / seconds["ours"].cpu_s, 2),
        "ratio_wall": round(seconds["apart"].wall_s / seconds["ours"].wall_s, 2),
        "rows_per_cpu_s": round(rows / seconds["ours"].cpu_s, 1),
        "peer_rows_per_cpu_s": round(rows / seconds["apart"].cpu_s, 1),
        "rows": rows,
        "score_difference": float(f"{worst:.1e}"),
    }


def _save_reward_model(trunk: Path, folder: Path) -> Path:
    tokenizer = AutoTokenizer.from_pretrained(trunk)
    tokenizer.add_special_tokens({"eos_token": f"w{END}", "pad_token": f"w{PAD}"})
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(trunk, num_labels=1, pad_token_id=PAD)
    model.score.weight.data.normal_(0.0, 0.1)
    model.save_pretrained(folder)
    return folder


def _groups(seed: int, prompts: int) -> list[list[RenderedTurn]]:
    draw = np.random.default_rng(seed)
    groups = []
    for _ in range(prompts):
        context = draw.integers(PAD + 1, VOCABULARY, size=PROMPT_TOKENS).tolist()
        answers = draw.integers(PAD + 1, VOCABULARY, size=(CANDIDATES, ANSWER_TOKENS - 1)).tolist()
        groups.append([RenderedTurn(context, [*answer, END]) for answer in answers])
    return groups
