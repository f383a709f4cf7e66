"""How much faster are multiple-choice options scored than by lm-eval 0.4.13, on real MMLU questions with 5 shots?

A random Llama (hidden 256, 6 layers, 4,096 positions, byte-level BPE of 4,096 tokens trained on the same files) in
float32 on one thread. Both get the same contexts and options as text, tokenising included; lm-eval runs its own
`HFLM.loglikelihood`, which already shares one forward among the one-token options of a context, at its better batch
size of two. Needs $ALMOST_DATA/mmlu.
"""

import csv
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from benchmarks._measuring import interleaved, timed
from models.engines.transformers_engine import TransformersEngine

SUBJECTS = ("anatomy", "business_ethics", "clinical_knowledge", "astronomy")
OPTIONS = [" A", " B", " C", " D"]
PEER_BATCHES = (1, 8)
Item = tuple[str, str]  # the shots, which a subject's questions share, and the question


def measure(questions: int = 32, rounds: int = 3) -> dict[str, Any]:
    """Questions per CPU and wall second of both, and their ratio (CPU); `questions` is per subject."""
    items = [item for subject in SUBJECTS for item in read_items(subject, questions)]
    with engine_folder() as folder:
        engine = TransformersEngine(folder, batch_size=questions, threads=1)
        peer = open_lm_eval(folder)
        by_ours(engine, items[:1])
        some = items[: max(PEER_BATCHES)]
        batch = min(PEER_BATCHES, key=lambda size: timed(lambda: by_lm_eval(peer, some, size))[1].cpu_s)
        results, seconds = interleaved(
            {"ours": lambda _: by_ours(fresh(engine), items), "peer": lambda _: by_lm_eval(peer, items, batch)}, rounds
        )
    worst = max(
        abs(a - b)
        for result in results
        for ours, theirs in zip(result["ours"], result["peer"], strict=True)
        for a, b in zip(ours, theirs, strict=True)
    )
    assert worst < 1e-3, f"log-likelihoods differ by {worst}"
    return {
        "ratio": round(seconds["peer"].cpu_s / seconds["ours"].cpu_s, 2),
        "ratio_wall": round(seconds["peer"].wall_s / seconds["ours"].wall_s, 2),
        "questions_per_cpu_s": round(len(items) / seconds["ours"].cpu_s, 1),
        "peer_questions_per_cpu_s": round(len(items) / seconds["peer"].cpu_s, 1),
        "peer_batch": batch,
        "questions": len(items),
        "loglikelihood_difference": float(f"{worst:.1e}"),
    }


def read_items(subject: str, questions: int) -> list[Item]:
    """The first questions of a subject's test file behind its five development questions."""
    folder = Path(os.environ.get("ALMOST_DATA", "../shared/data")) / "mmlu"
    if not folder.is_dir():
        raise SystemExit(f"option_scoring needs {folder}; set ALMOST_DATA to the folder that holds mmlu/")
    shots = [f"{asked(row)} {row[5]}\n\n" for row in _rows(folder / "dev" / f"{subject}_dev.csv", 5)]
    head = f"The following are multiple choice questions (with answers) about {subject.replace('_', ' ')}.\n\n"
    prefix = head + "".join(shots)
    return [(prefix, asked(row)) for row in _rows(folder / "test" / f"{subject}_test.csv", questions)]


def asked(row: list[str]) -> str:
    """A question with its four choices, up to `Answer:`."""
    choices = "".join(f"{letter}. {text}\n" for letter, text in zip("ABCD", row[1:5], strict=True))
    return f"{row[0].strip()}\n{choices}Answer:"


def _rows(path: Path, number: int) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as lines:
        return list(csv.reader(lines))[:number]


@contextmanager
def engine_folder() -> Iterator[Path]:
    """A random Llama with 4,096 positions and a byte-level tokenizer."""
    with tempfile.TemporaryDirectory() as name:
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
        tokenizer.decoder = decoders.ByteLevel()  # type: ignore[assignment]
        trainer = trainers.BpeTrainer(
            vocab_size=4096,
            special_tokens=["<s>", "</s>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        texts = [text for subject in SUBJECTS for item in read_items(subject, 100) for text in item]
        tokenizer.train_from_iterator(texts, trainer)
        PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>").save_pretrained(name)
        torch.manual_seed(0)
        config = LlamaConfig(
            vocab_size=4096, hidden_size=256, intermediate_size=1024, num_hidden_layers=6, num_attention_heads=8,
            max_position_embeddings=4096, tie_word_embeddings=True, bos_token_id=0, eos_token_id=1,
        )  # fmt: skip
        LlamaForCausalLM(config).save_pretrained(name)
        yield Path(name)


def fresh(engine: TransformersEngine) -> TransformersEngine:
    """The engine without the prefixes it has read in earlier rounds."""
    engine.forget_prefixes()
    return engine


def by_ours(engine: TransformersEngine, items: list[Item]) -> list[list[float]]:
    """Log-likelihoods by our engine, subject by subject."""
    scores: list[list[float]] = []
    for prefix in dict.fromkeys(prefix for prefix, _ in items):
        questions = [(question, OPTIONS) for other, question in items if other == prefix]
        scores += engine.score_many(questions, prefix)
    return scores


def open_lm_eval(folder: Path) -> Any:
    """lm-eval's wrapper of the same model; BOS at the start, as the engine has it."""
    from lm_eval.models.huggingface import HFLM

    return HFLM(pretrained=str(folder), device="cpu", dtype="float32", add_bos_token=True, batch_size=1)


def by_lm_eval(peer: Any, items: list[Item], batch: int) -> list[list[float]]:
    """Log-likelihoods by lm-eval."""
    from lm_eval.api.instance import Instance

    peer.batch_size_per_gpu = batch
    requests = [
        Instance("loglikelihood", {}, (prefix + question, option), place)
        for prefix, question in items
        for place, option in enumerate(OPTIONS)
    ]
    found = [value for value, _ in peer.loglikelihood(requests, disable_tqdm=True)]
    return [found[start : start + len(OPTIONS)] for start in range(0, len(found), len(OPTIONS))]
