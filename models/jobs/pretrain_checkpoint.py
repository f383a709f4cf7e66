"""The pre-training job's checkpoint: one file, replaced as a whole, that knows what it was trained from."""

import os
from typing import Any

import torch

from data_contracts.errors import ContractError
from data_contracts.keys import file_digest
from data_contracts.pretrain_spec import PretrainSpec

CHECKPOINT = "pretrain_checkpoint.pt"
CHECKPOINT_VERSION = 3  # raise it when the entries change their meaning


def _origin(spec: PretrainSpec) -> dict[str, Any]:
    inputs = [*spec.corpus, spec.tokenizer / "tokenizer.json"]
    return {"version": CHECKPOINT_VERSION, "inputs": [file_digest(path) for path in inputs]}


def write_checkpoint(spec: PretrainSpec, state: dict[str, Any]) -> None:
    """Replace the checkpoint of `spec`."""
    spec.work_dir.mkdir(parents=True, exist_ok=True)
    temporary = spec.work_dir / f".{CHECKPOINT}.tmp"
    with temporary.open("wb") as sink:
        torch.save(state | {"spec_digest": spec.digest(), "origin": _origin(spec)}, sink)
        sink.flush()
        os.fsync(sink.fileno())
    temporary.replace(spec.work_dir / CHECKPOINT)


def read_checkpoint(spec: PretrainSpec) -> dict[str, Any] | None:
    """The state that `write_checkpoint` was given; None when there is none, or only another spec's.

    Raises:
        ContractError: it comes from other inputs under the same paths, or from another version of this program.
    """
    path = spec.work_dir / CHECKPOINT
    if not path.exists():
        return None
    state = torch.load(path, weights_only=True)
    if state["spec_digest"] != spec.digest():
        print(f"{path} belongs to another spec; starting from scratch", flush=True)
        return None
    if state.get("origin") != _origin(spec):
        raise ContractError(
            f"{path} comes from another corpus or tokenizer under the same paths, or from another version of this "
            "program; delete it to train anew"
        )
    return state
