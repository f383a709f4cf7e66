"""Learning the weight of the likelihood feature together with the reward head (not in the paper).

The frozen base reads every training answer once, before training, for all members of an ensemble: the first leaves the
readings in `answer_likelihoods.json`. The standardised values then travel with the pairs, and the model adds
`likelihood_weight` times them to its score. The weight starts at 0 and has its own learning rate.
"""

import json
import shutil
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, FiniteFloat
from safetensors.torch import load_file, save_file
from trl.trainer.reward_trainer import DataCollatorForPreference, RewardTrainer

from data_contracts.config.reward import LikelihoodFeature
from data_contracts.errors import ConfigError, JobError
from data_contracts.specs.train_reward_model import RewardSpec
from models.distributed.deepspeed_engine import announce_zero, compute_device, shard_frozen
from models.distributed.ranks import Ranks
from models.lm.chat_template import RenderedTurn
from models.lm.tokenizer_check import same_tokenizer
from models.processes.job_protocol import is_rank_zero
from models.reward.answer_likelihood import (
    BASE_FOLDER,
    READINGS_NAME,
    SETTINGS_FILE,
    AnswerLikelihood,
    LikelihoodWeights,
)

WEIGHT = "likelihood_weight"
STORED = f"{WEIGHT}.weight"
CHOSEN, REJECTED = "chosen_likelihood", "rejected_likelihood"


class Readings(BaseModel):
    """The base's mean log-probabilities (nats per token) of both answers of every training pair."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pair_ids: list[str]
    chosen: list[FiniteFloat]
    rejected: list[FiniteFloat]


def read_answers(
    spec: RewardSpec,
    tokenizer: Any,
    pair_ids: list[str],
    chosen: Sequence[RenderedTurn],
    rejected: Sequence[RenderedTurn],
) -> tuple[LikelihoodWeights, dict[str, list[float]]]:
    """Let the frozen base read all training answers: mean and spread, and the standardised value of each side.

    Raises:
        ConfigError: the base has another tokenizer, or `spec.answer_likelihoods` tells of other pairs.
        JobError: all answers are equally likely, so that there is nothing to standardise.
    """
    from transformers import AutoTokenizer

    base = spec.likelihood_base or spec.base_model
    if not same_tokenizer_of(AutoTokenizer.from_pretrained(base), tokenizer):
        raise ConfigError(
            f"models.likelihood {base} has another tokenizer than the reward model's base {spec.base_model}; "
            "take a base of the same family"
        )
    values = _shared(spec, pair_ids) or _mean_logprobs(spec, base, [*chosen, *rejected])
    if spec.answer_likelihoods is None and is_rank_zero():
        found = Readings(pair_ids=pair_ids, chosen=values[: len(chosen)], rejected=values[len(chosen) :])
        (spec.output_dir / READINGS_NAME).write_text(found.model_dump_json(), encoding="utf-8")
    spread = statistics.pstdev(values)
    if spread == 0:
        raise JobError("reward.likelihood: the base finds all training answers equally likely; turn it off")
    alone = spec.likelihood is LikelihoodFeature.ALONE
    weights = LikelihoodWeights(weight=0.0, mean=statistics.fmean(values), std=spread, head_weight=float(not alone))
    standard = [weights.standardise(value) for value in values]
    return weights, {CHOSEN: standard[: len(chosen)], REJECTED: standard[len(chosen) :]}


def _shared(spec: RewardSpec, pair_ids: list[str]) -> list[float] | None:
    """The readings of another member, chosen answers first; None where this job reads for itself."""
    if spec.answer_likelihoods is None:
        return None
    found = Readings.model_validate_json(spec.answer_likelihoods.read_bytes())
    if found.pair_ids != pair_ids:
        raise ConfigError(f"{spec.answer_likelihoods} tells of other pairs than this job's; leave it out")
    return [*found.chosen, *found.rejected]


def _mean_logprobs(spec: RewardSpec, base: Path, rows: Sequence[RenderedTurn]) -> list[float]:
    """Every row's likelihood: each rank reads its share, the base sharded as the reward model will be."""
    run, ranks = spec.training, Ranks()
    splitting = announce_zero(run, base)  # while it lives, weights are split at loading
    reader = AnswerLikelihood(base, 4 * spec.micro_batch_size, compute_device(run))
    if run.zero_stage == 3:
        reader.wrap_model(lambda model, hidden: shard_frozen(model, run, hidden))
    del splitting
    found = reader.mean_logprobs([rows[place] for place in ranks.own(len(rows))])
    return ranks.merge(found, len(rows))


def same_tokenizer_of(base: Any, tokenizer: Any) -> bool:
    """`same_tokenizer` for a base that has not been prepared yet."""
    from models.lm.chat_template import prepare_tokenizer

    prepare_tokenizer(base)
    return same_tokenizer(base, tokenizer)


def add_likelihood(model: Any, head_weight: float) -> None:
    """Let a sequence-classification model take `likelihood` (B,) and add its weighted value to the score."""
    family = type(model)

    def forward(self: Any, *args: Any, likelihood: torch.Tensor | None = None, **kwargs: Any) -> Any:
        output = family.forward(self, *args, **kwargs)
        if likelihood is not None:
            added = getattr(self, WEIGHT)(likelihood.unsqueeze(-1))
            output.logits = head_weight * output.logits + added.to(output.logits.dtype)
        return output

    # The class keeps its name, which `save_pretrained` writes into the configuration.
    model.__class__ = type(family.__name__, (family,), {"forward": forward})
    # A module, not a bare parameter: adapters may then train it whole, and ZeRO-3 gathers it like any other.
    layer = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(layer.weight)
    model.add_module(WEIGHT, layer)


class LikelihoodCollator(DataCollatorForPreference):
    """Also stacks the likelihoods: those of the chosen side first, as the token rows are."""

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        """A batch of pairs as tensors, with `likelihood` (2B,)."""
        batch = super().torch_call(examples)
        values = [example[side] for side in (CHOSEN, REJECTED) for example in examples]
        return batch | {"likelihood": torch.tensor(values, dtype=torch.float32)}


class LikelihoodRewardTrainer(RewardTrainer):
    """TRL's trainer with two more columns and a learning rate of its own for the likelihood's weight."""

    def __init__(self, *args: Any, weight_learning_rate: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._weight_learning_rate = weight_learning_rate

    def _set_signature_columns_if_needed(self) -> None:
        super()._set_signature_columns_if_needed()
        self._signature_columns = [*(self._signature_columns or []), CHOSEN, REJECTED]

    def create_optimizer(self, *args: Any, **kwargs: Any) -> Any:
        """TRL's optimizer, the weight moved into a group of its own, without decay."""
        optimizer = super().create_optimizer(*args, **kwargs)
        assert self.model is not None
        weight = next(v for name, v in self.model.named_parameters() if WEIGHT in name and v.requires_grad)
        for group in optimizer.param_groups:
            group["params"] = [parameter for parameter in group["params"] if parameter is not weight]
        optimizer.add_param_group({"params": [weight], "lr": self._weight_learning_rate, "weight_decay": 0.0})
        return optimizer


def store_likelihood(folder: Path, base: Path, weights: LikelihoodWeights) -> LikelihoodWeights:
    """Move the learnt weight from the saved model into `likelihood.json`, and put the frozen base beside it."""
    learnt = weights.model_copy(update={"weight": _take_weight(folder)})
    (folder / SETTINGS_FILE).write_text(learnt.model_dump_json(indent=1) + "\n", encoding="utf-8")
    wanted = shutil.ignore_patterns("*.bin", "*.pt", "*.pth", "*.gguf", "*.onnx", "original", "work", ".*")
    shutil.copytree(base, folder / BASE_FOLDER, ignore=wanted)
    return learnt


def _take_weight(folder: Path) -> float:
    """Remove the weight from the safetensors, so that plain transformers finds nothing unexpected; returns it."""
    index_path = folder / "model.safetensors.index.json"
    name = "model.safetensors"
    if index_path.is_file():
        index = json.loads(index_path.read_text(encoding="utf-8"))
        name = index["weight_map"].pop(STORED)
        index_path.write_text(json.dumps(index, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    tensors = load_file(folder / name)
    weight = tensors.pop(STORED)
    save_file(tensors, folder / name, metadata={"format": "pt"})
    return float(weight)
