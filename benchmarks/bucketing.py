"""How much faster is an epoch of the reward model when rows of like length share a micro-batch?

Real preference pairs (the HH-RLHF test file) as tokens of a byte-level tokenizer trained on them; a random reward model,
float32, one thread. Both sides run TRL's RewardTrainer with its own collator on the same batches of 64 pairs, 8 to a
micro-batch: the peer in the stream's order, ours after `bucket_by_length`, as the job does it. An update is the same sum
either way, so every update's loss must agree.
Needs $ALMOST_DATA/hh_rlhf.
"""

import gzip
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks._measuring import interleaved
from models.training.batch_stream import bucket_by_length, stream_order

LONGEST, BATCH, MICRO, VOCABULARY, END, PAD = 1024, 64, 8, 4096, 0, 1


def measure(pairs: int = 256, rounds: int = 3) -> dict[str, Any]:
    """CPU seconds of an epoch of both, and their ratio."""
    from datasets.utils.logging import disable_progress_bar

    torch.set_num_threads(1)
    disable_progress_bar()
    chosen, rejected, tokenizer = token_rows(read_pairs(pairs))
    lengths = [max(len(up), len(down)) for up, down in zip(chosen, rejected, strict=True)]
    stream = stream_order(len(chosen), 1, BATCH, seed=0)
    orders = {"ours": bucket_by_length(stream, lengths, BATCH), "peer": stream}
    _epoch(tokenizer, chosen, rejected, stream[:BATCH])  # warm-up
    results, seconds = interleaved(
        {name: lambda _, order=order: _epoch(tokenizer, chosen, rejected, order) for name, order in orders.items()},
        rounds,
    )
    gap = max(abs(a - b) for result in results for a, b in zip(result["ours"], result["peer"], strict=True))
    assert gap < 1e-4, f"losses differ by {gap}"
    return {
        "ratio": round(seconds["peer"].cpu_s / seconds["ours"].cpu_s, 2),
        "ratio_wall": round(seconds["peer"].wall_s / seconds["ours"].wall_s, 2),
        "padded_share": round(padded_share(lengths, orders["ours"], MICRO), 3),
        "peer_padded_share": round(padded_share(lengths, orders["peer"], MICRO), 3),
        "pairs": len(chosen),
        "median_tokens": int(np.median(lengths)),
        "longest_tokens": max(lengths),
        "cpu_s": round(seconds["ours"].cpu_s, 2),
        "peer_cpu_s": round(seconds["peer"].cpu_s, 2),
        "loss_difference": float(f"{gap:.1e}"),
    }


def read_pairs(pairs: int) -> list[tuple[str, str]]:
    """The first chosen and rejected conversations of the file."""
    path = Path(os.environ.get("ALMOST_DATA", "../shared/data")) / "hh_rlhf" / "harmless-base_test.jsonl.gz"
    if not path.is_file():
        raise SystemExit(f"bucketing needs {path}; set ALMOST_DATA to the folder that holds hh_rlhf/")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line, _ in zip(lines, range(2 * pairs), strict=False)]
    return [(row["chosen"], row["rejected"]) for row in rows][:pairs]


def token_rows(pairs: list[tuple[str, str]]) -> tuple[list[list[int]], list[list[int]], Any]:
    """Both sides as token ids ending in the end token, pairs above `LONGEST` left out; and the tokenizer."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
    tokenizer.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=["</s>", "<pad>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([text for pair in pairs for text in pair], trainer)
    sides = [[[*row.ids, END] for row in tokenizer.encode_batch([pair[k] for pair in pairs])] for k in (0, 1)]
    fitting = [(up, down) for up, down in zip(*sides, strict=True) if max(len(up), len(down)) <= LONGEST]
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>", pad_token="<pad>")
    return [up for up, _ in fitting], [down for _, down in fitting], wrapped


def padded_share(lengths: list[int], order: np.ndarray, micro: int) -> float:
    """Share of the positions computed that are padding, when rows are taken `micro` at a time."""
    batches = np.asarray(lengths)[order].reshape(-1, micro)
    return 1.0 - float(batches.sum() / (batches.max(axis=1) * micro).sum())


def _epoch(tokenizer: Any, chosen: list[list[int]], rejected: list[list[int]], order: np.ndarray) -> list[float]:
    """Train one epoch and return the loss of each update."""
    from datasets import Dataset
    from transformers import LlamaConfig, LlamaForSequenceClassification, PrinterCallback
    from trl.trainer.reward_config import RewardConfig
    from trl.trainer.reward_trainer import RewardTrainer

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=128, intermediate_size=512, num_hidden_layers=4, num_attention_heads=4,
        max_position_embeddings=LONGEST, bos_token_id=None, eos_token_id=END, pad_token_id=PAD,
    )  # fmt: skip
    config.num_labels = 1
    with tempfile.TemporaryDirectory() as output:
        arguments = RewardConfig(
            output_dir=output, per_device_train_batch_size=MICRO, gradient_accumulation_steps=BATCH // MICRO,
            num_train_epochs=1, train_sampling_strategy="sequential", learning_rate=1e-4, lr_scheduler_type="constant",
            logging_steps=1, save_strategy="no", report_to="none", disable_tqdm=True, use_cpu=True, bf16=False,
            gradient_checkpointing=False, dataloader_pin_memory=False, max_length=None,
        )  # fmt: skip
        trainer = RewardTrainer(
            model=LlamaForSequenceClassification(config),
            args=arguments,
            train_dataset=Dataset.from_dict({"chosen_ids": chosen, "rejected_ids": rejected}).select(order),
            processing_class=tokenizer,
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
        return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
