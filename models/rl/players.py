"""Loading the models of a run of PPO, RLOO or GRPO for the layout that the spec asks for; saving the policy as a plain one."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from data_contracts.specs.optimize_policy import OptimizePolicySpec
from models.distributed.deepspeed_engine import ZeroEngine, announce_zero, compute_device, engine_config, shard_frozen
from models.distributed.ranks import Ranks
from models.distributed.training_engine import PlainEngine, TrainingEngine, trunk_optimizer
from models.lm.causal_model import CausalModel, check_output_path
from models.lm.chat_template import fit_embeddings
from models.lm.load_model import load_causal
from models.rl.algorithms import algorithm_of
from models.rl.policy import Policy, freeze_lower_layers
from models.rl.reference import Reference
from models.rl.scoring import Scorer, open_scorer
from models.training.adapters import add_adapters, merged_weights


@dataclass(frozen=True)
class Players:
    """The models of a run: who learns, how, against what reference, scored by whom, in whose tokens."""

    policy: Policy
    engine: TrainingEngine
    reference: Reference
    scorer: Scorer
    tokenizer: Any  # the policy's
    ranks: Ranks


def open_players(spec: OptimizePolicySpec, tokenizer: Any, probe: list[int]) -> Players:
    """All models of the run, sharded or offloaded as the spec asks."""
    ranks, device = Ranks(), compute_device(spec.training)
    splitting = announce_zero(spec.training, spec.policy)  # while it lives, weights are split at loading
    policy, engine, reference = open_policy(spec, tokenizer, probe, device, ranks)
    scorer = open_scorer(spec.scorer, spec, tokenizer, device)
    del splitting
    return Players(policy, engine, reference, scorer, tokenizer, ranks)


def open_policy(
    spec: OptimizePolicySpec, tokenizer: Any, probe: list[int], device: torch.device, ranks: Ranks
) -> tuple[Policy, TrainingEngine, Reference]:
    """The policy with what trains it, and the reference.

    `probe` is a prompt on which the way from hidden states to logits is checked.
    """
    run = spec.training
    model = load_causal(spec.policy, device)
    fit_embeddings(model, tokenizer)
    freeze_lower_layers(model, spec.unfrozen_layers)
    if run.lora_rank:
        add_adapters(model, run.lora_rank)
    if run.gradient_checkpointing:
        model.activation_checkpointing_enable()
        model.enable_input_require_grads()
    algorithm = algorithm_of(spec)
    policy = Policy(
        model,
        value_head=algorithm.needs_value_head,
        detach_value=algorithm.value_learning is not None and algorithm.value_learning.detach,
        entropy_gradient=spec.entropy_coefficient > 0,
        device=device,
    )
    policy.core.train(run.gradient_checkpointing)  # dropout is off: nothing else depends on it
    engine = open_engine(spec, policy.core, ranks)
    check_output_path(policy.core, probe)
    if run.lora_rank:
        return policy, engine, Reference.without_adapters(policy.core)
    return policy, engine, open_reference(spec, tokenizer, device)


def open_engine(spec: OptimizePolicySpec, core: CausalModel, ranks: Ranks) -> TrainingEngine:
    """What trains the core: DeepSpeed when a ZeRO stage is asked for."""
    optimizer = trunk_optimizer(core, spec.learning_rate, spec.weight_decay)
    if spec.training.zero_stage == 0:
        return PlainEngine(core, optimizer, spec.max_grad_norm, ranks)
    hidden = core.model.config.get_text_config().hidden_size
    config = engine_config(spec.training, spec.micro_batch_size, hidden, spec.max_grad_norm)
    return ZeroEngine(core, optimizer, config, ranks)


def open_reference(spec: OptimizePolicySpec, tokenizer: Any, device: torch.device) -> Reference:
    """A second, frozen copy of the SFT model: sharded under ZeRO-3, waiting in CPU memory with `training.offload`."""
    run = spec.training
    away = run.offload and run.zero_stage != 3
    model = load_causal(spec.policy, torch.device("cpu") if away else device)
    fit_embeddings(model, tokenizer)
    core = CausalModel(model)
    core.requires_grad_(False)
    if run.zero_stage == 3:
        core = shard_frozen(core, run, model.config.get_text_config().hidden_size)
    return Reference.second_model(core, device, away)


def save_policy(folder: Path, policy: Policy, engine: TrainingEngine, tokenizer: Any, ranks: Ranks) -> None:
    """Save policy and tokenizer as transformers does, adapters merged, and a value head beside them."""
    from safetensors.torch import save_file

    state = engine.weights()
    if ranks.is_first:
        shutil.rmtree(folder, ignore_errors=True)
        model = policy.model
        plain = merged_weights({name.removeprefix("model."): value for name, value in state.items()})
        tied = getattr(model, "all_tied_weights_keys", None) or {}
        weights = {name: value.contiguous() for name, value in plain.items() if name not in tied}
        model.save_pretrained(folder, state_dict=weights)
        tokenizer.save_pretrained(folder)
        if policy.value_head is not None:
            head = {name: value.detach().cpu().contiguous() for name, value in policy.value_head.state_dict().items()}
            save_file(head, folder / "value_head.safetensors")
    ranks.wait()
