"""LoRA adapters: put into a model, and merged into plain weights (Hu et al. 2021; not in the paper).

Merging works on the gathered state, name by name, so it is the same under every ZeRO stage.
"""

from typing import Any

from torch import Tensor

SCALE = 2.0  # alpha / rank
_WRAPPER = "base_model.model."  # of a model that peft wrapped, instead of adapters put in place
_COPY, _ORIGINAL = ".modules_to_save.default.", ".original_module."  # of a module that is trained whole
_DOWN, _UP = ".lora_A.default.weight", ".lora_B.default.weight"


def add_adapters(model: Any, rank: int) -> None:
    """Put LoRA adapters into the model in place: alpha twice the rank, every linear layer, all else frozen."""
    from peft import LoraConfig, inject_adapter_in_model

    settings = LoraConfig(r=rank, lora_alpha=int(SCALE * rank), lora_dropout=0.0, target_modules="all-linear")
    inject_adapter_in_model(settings, model)


def merged_weights(state: dict[str, Tensor], scale: float = SCALE) -> dict[str, Tensor]:
    """A plain model's state from one with LoRA adapters: W + scale * B A, under the plain names."""
    merged = {}
    state = {name.removeprefix(_WRAPPER): value for name, value in state.items()}
    for name, value in state.items():
        if ".lora_" in name or _ORIGINAL in name:
            continue
        layer = name.removesuffix(".base_layer.weight")
        down, up = state.get(layer + _DOWN), state.get(layer + _UP)
        if layer != name and down is not None and up is not None:
            value = (value.float() + scale * (up.float() @ down.float())).to(value.dtype)
        merged[name.replace(".base_layer.", ".").replace(_COPY, ".")] = value
    return merged
