"""A rung's model and what trains it: plainly, on several processes, or under DeepSpeed ZeRO."""

from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from data_contracts.config.training import TrainingSettings
from data_contracts.errors import ConfigError
from data_contracts.specs.pretrain import PretrainSpec
from models.distributed.deepspeed_engine import ZeroEngine, engine_config
from models.distributed.ranks import Ranks
from models.distributed.training_engine import PlainEngine, TrainingEngine

CLIP = 1.0
_ROWS = 1  # DeepSpeed wants a micro-batch's size, and does nothing with it where the job cuts its batches itself


def check_layout(training: TrainingSettings) -> None:
    """Refuse what pre-training cannot do, naming the field."""
    if training.lora_rank:
        raise ConfigError(
            f"training.lora_rank is {training.lora_rank}, but pre-training starts from random weights: there is no base "
            "for adapters to be added to; set it to 0"
        )


def model_config(spec: PretrainSpec, tokenizer: Any) -> LlamaConfig:
    """The Llama architecture of a rung: tied embeddings, feed-forward three times as wide as the residual stream."""
    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=spec.size.hidden,
        intermediate_size=3 * spec.size.hidden,
        num_hidden_layers=spec.size.layers,
        num_attention_heads=spec.size.heads,
        num_key_value_heads=spec.size.heads,
        max_position_embeddings=spec.pretraining.max_position_embeddings,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def new_model(spec: PretrainSpec, tokenizer: Any, seed: int, device: torch.device) -> Any:
    """A model with random weights, the same on every rank."""
    torch.manual_seed(seed)
    model: Any = LlamaForCausalLM(model_config(spec, tokenizer))
    model.to(device)
    if spec.training.gradient_checkpointing:
        model.activation_checkpointing_enable()
    return model


def open_engine(spec: PretrainSpec, model: Any, ranks: Ranks) -> TrainingEngine:
    """What trains the model: DeepSpeed when a ZeRO stage is asked for."""
    optimizer = _optimizer(model, spec)
    if spec.training.zero_stage == 0:
        return PlainEngine(model, optimizer, CLIP, ranks)
    return ZeroEngine(model, optimizer, engine_config(spec.training, _ROWS, spec.size.hidden, CLIP), ranks)


def _optimizer(model: LlamaForCausalLM, spec: PretrainSpec) -> torch.optim.AdamW:
    decayed = [p for p in model.parameters() if p.ndim >= 2]
    plain = [p for p in model.parameters() if p.ndim < 2]
    groups = [
        {"params": decayed, "weight_decay": spec.pretraining.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=spec.size.learning_rate, betas=(0.9, 0.98), fused=True)
