"""The likelihood feature of a reward model: how probable a frozen language model finds the answer.

reward = head_weight x head + weight x (mean log-probability of the answer's tokens - mean) / std

`weight` is learnt from the same comparisons as the head; mean and std are those of the training answers. Not in the
paper: a small reward model learns form and coverage, while its base already knows which answer is likely to be true.
The end token is left out, since a base model does not write it; an answer of no other token is judged by it all the
same, or saying nothing would be the likeliest answer.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from data_contracts.errors import ConfigError
from models.lm.chat_template import RenderedTurn
from models.lm.length_buckets import batches_by_length

if TYPE_CHECKING:
    import torch

SETTINGS_FILE = "likelihood.json"
BASE_FOLDER = "likelihood_base"
READINGS_NAME = "answer_likelihoods.json"  # what the base says of the training answers, beside a trained model


class LikelihoodWeights(BaseModel):
    """What a checkpoint's `likelihood.json` holds beside the frozen base model in `likelihood_base/`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weight: FiniteFloat = Field(description="Reward per standard deviation of the mean log-probability")
    mean: FiniteFloat = Field(description="Of the training answers' mean log-probabilities, nats per token")
    std: FiniteFloat = Field(gt=0, description="Of the same, nats per token")
    head_weight: FiniteFloat = Field(default=1.0, description="1; 0 where the likelihood stands alone (the control)")

    def standardise(self, mean_logprob: float) -> float:
        """A mean log-probability in standard deviations above the training answers' mean."""
        return (mean_logprob - self.mean) / self.std

    def combine(self, head: float, mean_logprob: float) -> float:
        """The reward of one answer."""
        return self.head_weight * head + self.weight * self.standardise(mean_logprob)


class AnswerLikelihood:
    """A frozen causal language model that reads answers in the chat format."""

    def __init__(self, folder: Path, batch_size: int, device: Any) -> None:
        import torch

        from models.lm.causal_model import CausalModel
        from models.lm.load_model import load_causal

        self.core: Any = CausalModel(load_causal(folder, device))
        self.core.eval().requires_grad_(False)
        self.batch_size, self.device = batch_size, torch.device(device)

    def place(self, device: "torch.device") -> None:
        """Move to a device."""
        self.device = device
        self.core.to(device)

    def wrap_model(self, wrap: Callable[[Any, int], Any]) -> None:
        """Replace the model by what `wrap(module, hidden size)` makes of it."""
        self.core = wrap(self.core, self.core.model.config.get_text_config().hidden_size)

    def mean_logprobs(self, rows: Sequence[RenderedTurn]) -> list[float]:
        """Mean log-probability (nats per token) of each row's answer given its context, in the given order."""
        import torch

        means = [0.0] * len(rows)
        for chosen in batches_by_length([len(row.ids) for row in rows], self.batch_size):
            with torch.inference_mode():
                values = self._mean_logprobs([rows[i] for i in chosen])
            for i, value in zip(chosen, values.tolist(), strict=True):
                means[i] = value
        return means

    def _mean_logprobs(self, rows: Sequence[RenderedTurn]) -> "torch.Tensor":
        """(B,) for B rows; only the positions that predict answer tokens go through the output layer."""
        import torch

        from models.lm.padding import pad_right, positions_of

        ids, mask = pad_right([row.ids for row in rows], device=self.device)
        wanted = torch.zeros((len(rows), ids.shape[1] - 1), dtype=torch.bool)  # whose next token is the answer's
        for i, row in enumerate(rows):
            first, last = max(1, len(row.prompt_ids)), len(row.ids) - 1
            wanted[i, first - 1 : max(first, last - 1 if len(row.response_ids) > 1 else last)] = True
        wanted = wanted.to(self.device)
        _, logits = self.core(ids[:, :-1], mask[:, :-1], positions_of(mask)[:, :-1], wanted=wanted)
        logprobs = torch.log_softmax(logits, dim=-1)  # (N, V)
        token = logprobs.gather(-1, ids[:, 1:][wanted].unsqueeze(-1)).squeeze(-1)
        sums = torch.zeros(wanted.shape, device=self.device).masked_scatter(wanted, token).sum(dim=1)
        return (sums / wanted.sum(dim=1)).cpu()


def read_weights(folder: Path, base_in: Path | None = None) -> LikelihoodWeights | None:
    """The likelihood feature of a reward model's folder, None when it has none; its base lies in `base_in` or there.

    Raises:
        ConfigError: the file is broken, or the base model is missing.
    """
    path = folder / SETTINGS_FILE
    if not path.is_file():
        return None
    try:
        weights = LikelihoodWeights.model_validate_json(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"{path} is broken: {error}; train the reward model again") from error
    base = (base_in or folder) / BASE_FOLDER
    if not (base / "config.json").is_file():
        raise ConfigError(f"{folder} has {SETTINGS_FILE} but {base} holds no model; copy the folder whole")
    return weights
