"""What does an episode of PPO cost, compared with TRL 1.12.0's PPOTrainer?

A random Llama of 1.1M parameters as policy, reference and reward model (hidden 128, 4 layers, 1,280 words, tied), 64 prompts
of 64 tokens, 48 new tokens each (padding and end token are as good as never drawn), one mini-batch, 4 epochs, float32, one
thread: sampling, reward model, reference, advantages and updates. The peer runs in a process of its own with the same
settings (`_trl_ppo_peer`); each side has its better micro-batch of those tried. Steps are timed from end to end, without the
first and last. Ours also clips gradients and writes rollouts as Parquet, which the peer does not.

Agreement: the first step's rollouts and scores of the peer go through our own reading and updates. Loss figures must
agree, and so must the change of the weights.
"""

import tempfile
import time
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks._trl_ppo_peer import PACKAGE, run_peer
from data_contracts.config.training import TrainingSettings
from data_contracts.conversation import Role, Turn
from data_contracts.specs.optimize_policy import PPOSpec
from data_contracts.tables.demonstrations import QuerySplit
from models.lm.chat_template import prepare_tokenizer
from models.rl.experience import gather_experience
from models.rl.loop import PPOLoop
from models.rl.players import open_players
from models.rl.prompts import Prompt
from models.rl.rollouts import Response

BATCH, PROMPT_TOKENS, NEW_TOKENS, EPOCHS, VOCABULARY = 64, 64, 48, 4, 1280
PAD, END = 1, 2
MICRO_BATCHES = (16, 64)
LEARNING_RATE, KL_COEFFICIENT = 3e-5, 0.05


def measure(steps: int = 2, rounds: int = 3) -> dict[str, Any]:
    """CPU seconds per episode of both, and their ratio (ours to the peer's: lower is better)."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)
        agreement = _agreement(folder)
        found: dict[tuple[str, int], list[tuple[float, float]]] = {}
        best: dict[str, int] = {}
        for number in range(rounds):
            for side, run in (("ours", run_ours), ("peer", _run_trl)):
                for micro in MICRO_BATCHES if number == 0 else (best[side],):
                    found.setdefault((side, micro), []).extend(run(folder, steps, micro, number))
                best[side] = min(MICRO_BATCHES, key=lambda m, side=side: median(cpu for cpu, _ in found[side, m]))
    ours, peer = ([median(t[k] for t in found[side, best[side]]) / BATCH for k in (0, 1)] for side in ("ours", "peer"))
    return {
        "ratio": round(ours[0] / peer[0], 2),
        "ratio_wall": round(ours[1] / peer[1], 2),
        "cpu_s_per_episode": round(ours[0], 4),
        "peer_cpu_s_per_episode": round(peer[0], 4),
        "micro_batch": best["ours"],
        "peer_micro_batch": best["peer"],
        "peer": PACKAGE,
        **agreement,
    }


def prepare(folder: Path) -> None:
    """Write policy, reward model and prompts."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification, PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({f"w{i}": i for i in range(VOCABULARY)}, unk_token="w0"))  # type: ignore[call-arg]
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()  # type: ignore[assignment]
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token=f"w{PAD}", eos_token=f"w{END}")
    prepare_tokenizer(tokenizer)
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=128, intermediate_size=448, num_hidden_layers=4, num_attention_heads=4,
        max_position_embeddings=256, tie_word_embeddings=True, bos_token_id=None, eos_token_id=END, pad_token_id=PAD,
    )  # fmt: skip
    config.num_labels = 1
    for seed, (role, kind) in enumerate({"policy": LlamaForCausalLM, "reward": LlamaForSequenceClassification}.items()):
        torch.manual_seed(seed)
        model = kind(config)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.dim() > 1:
                    torch.nn.init.normal_(parameter, std=0.05)
            embedding = model.get_input_embeddings().weight
            embedding[:, 0] = 2.0  # a direction that every hidden state has and that padding and end go against
            embedding[[PAD, END], 0] = -2.0
        model.save_pretrained(folder / role)
        tokenizer.save_pretrained(folder / role)
    torch.manual_seed(2)
    torch.save(torch.randint(3, VOCABULARY, (BATCH, PROMPT_TOKENS)), folder / "prompts.pt")


def open_loop(folder: Path, steps: int, micro: int, seed: int) -> PPOLoop:
    """The project's loop on the workload, with the peer's settings."""
    from transformers import AutoTokenizer

    work = Path(tempfile.mkdtemp(dir=folder))
    spec = PPOSpec(
        output_dir=work / "out", work_dir=work, seed=seed, policy=folder / "policy", reward_model=folder / "reward",
        prompts=(folder / "prompts.pt",), steps=steps, rollouts=BATCH, minibatch_size=BATCH, micro_batch_size=micro,
        epochs=EPOCHS, learning_rate=LEARNING_RATE, kl_coefficient=KL_COEFFICIENT, max_prompt_tokens=PROMPT_TOKENS,
        max_new_tokens=NEW_TOKENS, generation_batch_size=BATCH, score_clip=None, missing_end_penalty=0.0,
        max_grad_norm=1e9, validation_share=0.0, training=TrainingSettings(use_cpu=True, save_every=10**6),
    )  # fmt: skip
    tokenizer = AutoTokenizer.from_pretrained(spec.policy)
    rows = torch.load(folder / "prompts.pt", weights_only=True).tolist()
    context = (Turn(Role.HUMAN, "w3"),)
    prompts = [Prompt(f"p{i}", f"q{i}", QuerySplit.SEEN, context, row) for i, row in enumerate(rows)]
    return PPOLoop(spec, open_players(spec, tokenizer, rows[0]), prompts, [], work / "checkpoints")


def run_ours(folder: Path, steps: int, micro: int, seed: int) -> list[tuple[float, float]]:
    """CPU and wall seconds of each timed step."""
    ends: list[tuple[float, float]] = []
    loop = open_loop(folder, steps + 2, micro, seed)
    loop.run(lambda step, metrics: ends.append((time.process_time(), time.perf_counter())))
    timed = pairwise(ends[:-1])
    return [(after[0] - before[0], after[1] - before[1]) for before, after in timed]


def _run_trl(folder: Path, steps: int, micro: int, seed: int, record: str = "") -> list[tuple[float, float]]:
    found = run_peer(
        {
            "policy": str(folder / "policy"), "reward_model": str(folder / "reward"), "seed": seed, "record": record,
            "prompts": str(folder / "prompts.pt"), "output_dir": str(folder / "trl"), "steps": steps + 1, "micro": micro,
            "batch": BATCH, "epochs": EPOCHS, "new_tokens": NEW_TOKENS, "learning_rate": LEARNING_RATE,
            "kl_coefficient": KL_COEFFICIENT,
        }
    )  # fmt: skip
    return list(zip(found["cpu_s"], found["wall_s"], strict=True))


def _agreement(folder: Path) -> dict[str, float]:
    """Assert that our updates on the peer's first rollouts do to the weights what the peer's did."""
    record = folder / "first_step.pt"
    _run_trl(folder, 0, BATCH, 0, str(record))
    peer = torch.load(record, weights_only=True)
    loop = open_loop(folder, 1, BATCH, 0)
    before = {name: value.clone() for name, value in loop.policy.model.state_dict().items()}
    rows, scores = peer["rollouts"], peer["scores"]
    assert rows.shape == (BATCH, PROMPT_TOKENS + NEW_TOKENS)
    assert not bool(((rows == PAD) | (rows == END)).any()), "padding or end was drawn: settings would differ"
    prompts = [Prompt("", "", QuerySplit.SEEN, (), row) for row in rows[:, :PROMPT_TOKENS].tolist()]
    responses = [Response(row) for row in rows[:, PROMPT_TOKENS:].tolist()]
    experience = gather_experience(
        loop.policy, loop.reference, prompts, responses, scores, loop.spec, KL_COEFFICIENT, PAD, loop.ranks
    )
    losses = loop.updater.step(experience, 1)
    figures = {"policy_loss": "loss/policy_avg", "value_loss": "loss/value_avg", "approx_kl": "policy/approxkl_avg"}
    gaps = {name: abs(losses[name] - peer["metrics"][other]) for name, other in figures.items()}
    assert max(gaps.values()) < 1e-4, f"{gaps}: {losses} against {peer['metrics']}"
    after = loop.policy.model.state_dict()
    ours, theirs = (
        torch.cat([(state[name] - before[name]).flatten() for name in before]) for state in (after, peer["weights"])
    )
    gap = float((ours - theirs).norm() / theirs.norm())
    assert gap < 0.02, f"the weights' changes differ by {gap} of their size"
    return {"loss_difference": float(f"{max(gaps.values()):.1e}"), "weight_change_difference": float(f"{gap:.1e}")}
