"""One rank of `zero3_memory`: a step of PPO, then the bytes that it keeps. `python -m benchmarks._zero3_rank ROOT STAGE`."""

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoTokenizer
from transformers.utils import logging as transformers_logging

from data_contracts.config.training import TrainingSettings
from data_contracts.conversation import Role, Turn
from data_contracts.specs.optimize_policy import PPOSpec
from data_contracts.tables.demonstrations import QuerySplit
from models.distributed.deepspeed_config import prepare_distributed
from models.rl.loop import PPOLoop
from models.rl.players import Players, open_players
from models.rl.prompts import Prompt


def main(root: Path, stage: int) -> None:
    """Run one step and write what rank 0 keeps."""
    transformers_logging.disable_progress_bar()
    training = TrainingSettings(use_cpu=True, zero_stage=stage, processes=2)
    prepare_distributed(training, process_group=True)
    torch.set_num_threads(1)
    torch.manual_seed(1)
    spec = PPOSpec(
        output_dir=root / f"out{stage}", work_dir=root / f"work{stage}", seed=1, policy=root / "policy",
        reward_model=root / "reward", prompts=(root / "unused.parquet",), steps=1, rollouts=4, minibatch_size=4,
        epochs=1, micro_batch_size=2, max_prompt_tokens=8, max_new_tokens=8, validation_share=0.0, training=training,
    )  # fmt: skip
    tokenizer = AutoTokenizer.from_pretrained(spec.policy)
    prompts = [
        Prompt(f"p{i}", f"q{i}", QuerySplit.SEEN, (Turn(Role.HUMAN, f"w{i}"),), [tokenizer.bos_token_id, 7 + i, 9])
        for i in range(4)
    ]
    players = open_players(spec, tokenizer, prompts[0].ids)
    loop = PPOLoop(spec, players, prompts, [], spec.work_dir / "checkpoints")
    state = loop.run(lambda step, metrics: None)
    loop.updater.engine.weights()  # under ZeRO-3: whatever was gathered is let go
    if players.ranks.is_first:
        result = {"bytes": _kept(players), "metrics": state.history[-1][1]}
        (root / f"stage{stage}.json").write_text(json.dumps(result))
    players.ranks.wait()


def _kept(players: Players) -> dict[str, int]:
    """Bytes by model; the policy's include master weights and moments."""
    engine: Any = players.engine
    optimizer = engine.optimizer if hasattr(engine, "optimizer") else engine._engine.optimizer
    inner = getattr(optimizer, "optimizer", optimizer)  # under ZeRO-3: the AdamW inside, on flat shards
    moments = [value for state in inner.state.values() for value in state.values() if isinstance(value, Tensor)]
    masters = [parameter for group in inner.param_groups for parameter in group["params"]]
    counted: set[int] = set()
    sizes = {
        "policy": _bytes(_own(players.policy), counted),
        "master": _bytes(masters, counted),
        "moments": _bytes(moments, counted),
    }
    with players.reference.ready() as reference:
        sizes["reference"] = _bytes(_own(reference), counted)
    return sizes | {"reward_model": _bytes(_own(players.scorer.reward_model.model), counted)}


def _own(module: torch.nn.Module) -> Iterator[Tensor]:
    """What this rank holds of a module's weights: the whole, its shard, or both while a weight is gathered."""
    for parameter in module.parameters():
        yield parameter.data
        shard = getattr(parameter, "ds_tensor", None)
        if shard is not None:
            yield shard


def _bytes(tensors: Iterable[Tensor], counted: set[int]) -> int:
    """Bytes of the storages of `tensors` that were not counted before."""
    total = 0
    for tensor in tensors:
        storage = tensor.untyped_storage()
        if storage.nbytes() and storage.data_ptr() not in counted:
            counted.add(storage.data_ptr())
            total += storage.nbytes()
    return total


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
