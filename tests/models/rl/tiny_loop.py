"""The PPO loop on a tiny model with a scorer that is known exactly."""

from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import AutoTokenizer

from data_contracts.config.algorithm import Algorithm
from data_contracts.config.training import TrainingSettings
from data_contracts.conversation import Role, Turn
from data_contracts.specs.optimize_policy import POLICY_SPECS, OptimizePolicySpec, RewardModelSource
from data_contracts.tables.demonstrations import QuerySplit
from models.distributed.ranks import Ranks
from models.lm.chat_template import prepare_tokenizer, prompt_ids
from models.rl.loop import PolicyLoop
from models.rl.players import Players, open_policy
from models.rl.prompts import Prompt

LIKED = 100  # token id that the scorer likes


class CountingScorer:
    """Score = share of the response's tokens with an id under `LIKED`; knows nothing of text."""

    def __init__(self, tokenizer) -> None:
        self.tokenizer = tokenizer

    def score(self, contexts: Sequence, prompts: Sequence, responses: Sequence[Sequence[int]]) -> list[float]:
        return [sum(token < LIKED for token in response) / len(response) for response in responses]


def make_spec(root: Path, model: Path, algorithm: str = "ppo", **changes) -> OptimizePolicySpec:
    """A spec of PPO, or of another algorithm that learns from rewards, small enough for seconds."""
    values = {
        "output_dir": root / "out",
        "work_dir": root / "work",
        "seed": 5,
        "policy": model,
        "scorer": RewardModelSource(folder=model),
        "prompts": (root / "prompts.parquet",),
        "steps": 4,
        "rollouts": 16,
        "minibatch_size": 8,
        "micro_batch_size": 8,
        "epochs": 2,
        "max_prompt_tokens": 40,
        "max_new_tokens": 6,
        "learning_rate": 3e-3,
        "kl_coefficient": 0.01,
        "missing_end_penalty": 0.0,
        "validate_every": 2,
        "training": TrainingSettings(save_every=2, use_cpu=True),
    }
    return POLICY_SPECS[Algorithm(algorithm)](**(values | changes))


def make_loop(spec: OptimizePolicySpec) -> PolicyLoop:
    """A loop on the tiny model with eight training prompts and two validation prompts."""
    tokenizer = AutoTokenizer.from_pretrained(spec.policy)
    prepare_tokenizer(tokenizer)
    prompts = []
    for i, name in enumerate(["Mira", "Tovik", "Sanel", "Bo", "Ed", "Al", "Lurok", "Ann", "Ivo", "Una"]):
        context = (Turn(Role.HUMAN, f"Who is {name}?"),)
        prompts.append(Prompt(f"p{i}", f"q{i}", QuerySplit.SEEN, context, prompt_ids(tokenizer, context)))
    device = torch.device("cpu")
    ranks = Ranks()
    policy, engine, reference = open_policy(spec, tokenizer, prompts[0].ids, device, ranks)
    players = Players(policy, engine, reference, CountingScorer(tokenizer), tokenizer, ranks)
    return PolicyLoop(spec, players, prompts[:8], prompts[8:], spec.work_dir / "checkpoints")
