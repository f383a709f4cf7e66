"""The frozen policy that the KL is measured against: a second model, or the policy with its adapters switched off."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch

from models.lm.causal_model import CausalModel


class Reference:
    """A frozen core that is made ready for each use."""

    def __init__(self, core: CausalModel, ready: Callable[[], AbstractContextManager[Any]]) -> None:
        self._core, self._ready = core, ready

    @classmethod
    def second_model(cls, core: CausalModel, device: torch.device, offload: bool) -> "Reference":
        """A model of its own; with `offload` it waits in CPU memory."""
        return cls(core.requires_grad_(False).eval(), lambda: on_device(core, device, offload))

    @classmethod
    def without_adapters(cls, core: CausalModel) -> "Reference":
        """The policy's own core while its adapters are off."""
        return cls(core, lambda: adapters_off(core))

    @contextmanager
    def ready(self) -> Iterator[CausalModel]:
        """The core, ready to read."""
        with self._ready():
            yield self._core


@contextmanager
def on_device(module: Any, device: torch.device, offload: bool) -> Iterator[None]:
    """The module on `device`; with `offload` it goes back to the CPU afterwards."""
    if not offload:
        yield
        return
    module.to(device)
    try:
        yield
    finally:
        module.to("cpu")


@contextmanager
def adapters_off(core: CausalModel) -> Iterator[None]:
    """The core as it was before adapters were put in."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    layers = [module for module in core.modules() if isinstance(module, BaseTunerLayer)]
    for layer in layers:
        layer.enable_adapters(False)
    try:
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(True)
