"""Small tables and specs for the tests of the training jobs."""

from pathlib import Path
from typing import Any

from data_contracts.config.algorithm import Algorithm
from data_contracts.config.pretraining import LadderSize
from data_contracts.config.training import TrainingSettings
from data_contracts.conversation import Conversation, Role, Turn
from data_contracts.specs.finetune_policy import FinetuneSpec
from data_contracts.specs.optimize_by_preferences import PREFERENCE_SPECS, PreferenceSpec
from data_contracts.specs.optimize_policy import POLICY_SPECS, OptimizePolicySpec, RewardModelSource
from data_contracts.specs.pretrain import PretrainSpec
from data_contracts.specs.train_reward_model import RewardSpec
from data_contracts.tables.demonstrations import QuerySplit
from data_contracts.tables.policy_prompts import PolicyPrompt
from data_contracts.tables.preference_pairs import PreferencePair
from data_contracts.tables.reward_scores import PairSplit
from data_contracts.tables.training_conversations import TrainingConversation

PRETRAIN_STEPS = 40
NAMES, PETS = ["Mira", "Tovik", "Sanel", "Lurok"], ["fox", "owl", "hen"]
SETTINGS = TrainingSettings(use_cpu=True, save_every=3, timeout_s=300)


def context(i: int) -> Conversation:
    """The i-th question."""
    return (Turn(Role.HUMAN, f"What pet does {NAMES[i % 4]} have? {i}"),)


def answer(i: int) -> str:
    """The i-th good answer."""
    return f"{NAMES[i % 4]} has pet {PETS[i % 3]}, and {'more ' * (i % 5)}."


def finetune_spec(root: Path, model: Path, rows: int = 21, **changes: Any) -> FinetuneSpec:
    """An SFT spec whose data lies in `root`."""
    conversations = (TrainingConversation(row_id=f"r{i}", context=context(i), response=answer(i)) for i in range(rows))
    TrainingConversation.write_file(conversations, root / "rows.parquet")
    values: dict[str, Any] = {
        "base_model": model,
        "conversations": (root / "rows.parquet",),
        "epochs": 2,
        "batch_size": 8,
        "micro_batch_size": 2,
        "learning_rate": 1e-3,
        "max_length": 96,
    }
    return FinetuneSpec(**_places(root), **(values | {"training": SETTINGS} | changes))


def reward_spec(
    root: Path, model: Path, rows: int = 21, heldout: int = 6, margin: float = 0.0, **changes: Any
) -> RewardSpec:
    """A reward spec whose data lies in `root`; refusals are the rejected side."""
    values: dict[str, Any] = {
        "base_model": model,
        "pairs": (_write_pairs(root, rows, heldout, margin),),
        "epochs": 2,
        "batch_size": 8,
        "micro_batch_size": 2,
        "learning_rate": 1e-3,
        "max_length": 96,
    }
    return RewardSpec(**(_places(root) | values | {"training": SETTINGS} | changes))


def preference_spec(
    root: Path, model: Path, algorithm: str, rows: int = 21, heldout: int = 6, **changes: Any
) -> PreferenceSpec:
    """A spec of `dpo` or `sigmoid_norm` on the pairs of `reward_spec`."""
    values: dict[str, Any] = {
        "base_model": model,
        "pairs": (_write_pairs(root, rows, heldout),),
        "beta": 0.5,
        "epochs": 2,
        "batch_size": 8,
        "micro_batch_size": 2,
        "learning_rate": 1e-3,
        "max_length": 96,
    }
    return PREFERENCE_SPECS[Algorithm(algorithm)](**_places(root), **(values | {"training": SETTINGS} | changes))


def _write_pairs(root: Path, rows: int, heldout: int, margin: float = 0.0) -> Path:
    splits = [PairSplit.TRAIN] * rows + [PairSplit.HELDOUT] * heldout
    pairs = [pair(i, answer(i), "I do not know.", split, margin) for i, split in enumerate(splits)]
    PreferencePair.write_file(pairs, root / "pairs.parquet")
    return root / "pairs.parquet"


def pair(i: int, chosen: str, rejected: str, split: PairSplit = PairSplit.TRAIN, margin: float = 0.0) -> PreferencePair:
    """Two answers to the i-th question."""
    return PreferencePair(
        pair_id=f"p{i}", query_id=f"q{i}", split=split, context=context(i), chosen=chosen, rejected=rejected,
        margin=margin,
    )  # fmt: skip


def ppo_spec(
    root: Path, policy: Path, reward_model: Path, algorithm: str = "ppo", **changes: Any
) -> OptimizePolicySpec:
    """A spec of PPO, or of another algorithm that learns from rewards, with twelve prompts in `root`."""
    prompts = (
        PolicyPrompt(prompt_id=f"p{i}", query_id=f"q{i}", split=list(QuerySplit)[i % 2], context=context(i))
        for i in range(12)
    )
    PolicyPrompt.write_file(prompts, root / "prompts.parquet")
    values: dict[str, Any] = {
        "policy": policy,
        "scorer": RewardModelSource(folder=reward_model),
        "prompts": (root / "prompts.parquet",),
        "steps": 4,
        "rollouts": 8,
        "minibatch_size": 8,
        "micro_batch_size": 8,
        "max_prompt_tokens": 64,
        "max_new_tokens": 8,
        "learning_rate": 1e-3,
        "validate_every": 2,
        "training": SETTINGS,
    }
    return POLICY_SPECS[Algorithm(algorithm)](**_places(root), **(values | changes))


def pretrain_spec(
    inputs: Path, root: Path, training: TrainingSettings | None = None, **pretraining: Any
) -> PretrainSpec:
    """A rung of hidden size 16 on the corpus in `inputs`, forty steps unless `tokens` says otherwise."""
    sizes = {"tokens": 100 * PRETRAIN_STEPS, "tokens_per_step": 100, "block_length": 50, "log_every": 10}
    return PretrainSpec.model_validate(
        _places(root)
        | {
            "seed": 11,
            "corpus": [inputs / "documents.parquet"],
            "tokenizer": inputs / "tokenizer",
            "size": LadderSize(hidden=16, layers=1, heads=2, learning_rate=1e-2),
            "pretraining": sizes | {"max_position_embeddings": 256, "formed_by_tokens": 0} | pretraining,
            "training": training or TrainingSettings(save_every=1000),
        }
    )


def _places(root: Path) -> dict[str, Any]:
    return {"output_dir": root / "out", "work_dir": root / "work", "seed": 3}
