"""The pre-training job's checkpoints: weights and optimizer as their engine writes them, and the loop's numbers.

Folders as of the other jobs (`training_checkpoints.py`): written under another name, marked last. Batches and initial
weights are functions of the seed and the attempt, and nothing else is random.
"""

import shutil
from dataclasses import asdict, dataclass, field

import torch

from data_contracts.specs.pretrain import PretrainSpec
from data_contracts.store.keys import file_digest
from models.distributed.ranks import Ranks
from models.distributed.training_engine import TrainingEngine
from models.training.checkpoints import MARKER, checkpoint_folder, claim_checkpoints, forget_old, last_complete

PREFIX = "step-"
LOOP_NAME = "loop.pt"


@dataclass
class LoopState:
    """The loop's own numbers after `step` finished steps of an attempt."""

    attempt: int = 0
    step: int = 0
    history: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    watched: dict[str, list[float]] = field(default_factory=dict)  # a loss a step, by name


def claim(spec: PretrainSpec) -> None:
    """Note what this spec's checkpoints are trained from, or check it; rank 0 only.

    Raises:
        ContractError: they come from other inputs under the same paths, or from another version of this program.
    """
    corpus = " ".join(file_digest(path) for path in spec.corpus)
    tokenizer = file_digest(spec.tokenizer / "tokenizer.json")
    claim_checkpoints(checkpoint_folder(spec), {"corpus": corpus, "tokenizer": tokenizer})


def save(spec: PretrainSpec, state: LoopState, steps: int, engine: TrainingEngine, ranks: Ranks) -> None:
    """Write a checkpoint of an attempt of `steps` steps and remove what it makes superfluous; all ranks take part."""
    folder = checkpoint_folder(spec)
    name = f"{PREFIX}{state.attempt * steps + state.step}"  # a later attempt's count for more
    final, temporary = folder / name, folder / f".{name}.tmp"
    if ranks.is_first:
        for path in (final, temporary):
            shutil.rmtree(path, ignore_errors=True)
        temporary.mkdir(parents=True)
    ranks.wait()
    engine.save(temporary)
    ranks.wait()
    if ranks.is_first:
        torch.save(asdict(state), temporary / LOOP_NAME)
        temporary.rename(final)
        (final / MARKER).touch()
        forget_old(folder, spec.training.keep_checkpoints, PREFIX)
    ranks.wait()


def newest(spec: PretrainSpec) -> LoopState | None:
    """The numbers of the newest complete checkpoint, None when there is none."""
    folder = last_complete(checkpoint_folder(spec), PREFIX)
    return None if folder is None else LoopState(**torch.load(folder / LOOP_NAME, weights_only=True))


def restore(spec: PretrainSpec, engine: TrainingEngine) -> None:
    """Load weights and optimizer of the newest complete checkpoint into an engine of its attempt."""
    folder = last_complete(checkpoint_folder(spec), PREFIX)
    assert folder is not None
    engine.load(folder)
