"""The number type of forward passes: float32, or bfloat16 under autocast."""

import contextlib
from typing import Any

import torch


class Precision:
    """Runs forward passes in bfloat16 where the spec asks for it."""

    def __init__(self, device: torch.device, bf16: bool) -> None:
        self._device, self._bf16 = device, bf16

    def __call__(self) -> contextlib.AbstractContextManager[Any]:
        return torch.autocast(self._device.type, torch.bfloat16) if self._bf16 else contextlib.nullcontext()
