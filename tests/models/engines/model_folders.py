"""Small model folders for the engine tests: random weights, a byte-level tokenizer trained on a few sentences."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

SENTENCES = (
    "Human: What grows in the garden?\n\nAssistant: Beans, roses and a little basil grow in the garden.\n\n",
    "Human: Who sings in the morning?\n\nAssistant: The blackbird sings early, long before the sun is up.\n\n",
)


def make_tokenizer(bos: bool = True, pad: bool = False) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer of 400 tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
    tokenizer.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<pad>", "<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    special = {"eos_token": "</s>"} | ({"bos_token": "<s>"} if bos else {}) | ({"pad_token": "<pad>"} if pad else {})
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)


def make_model(model_type: str = "llama", **changes: Any) -> Any:
    """A random model with weights large enough that attention matters."""
    settings: dict[str, Any] = {
        "vocab_size": 400,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 192,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
    } | changes
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(model_type, **settings))
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.25)
    return model.eval()


def save_folder(folder: Path, model: Any, tokenizer: PreTrainedTokenizerFast) -> Path:
    """Save both as one checkpoint folder."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
