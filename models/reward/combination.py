"""From what a reward model's folder holds to one score: heads of its members, the likelihood feature, the combination.

A member's score is its head's, to which its own learnt weight adds the likelihood of the answer (`answer_likelihood.py`).
All members have the same frozen base, which lies once in the folder and reads every answer once. Scores of several members
become one as `reward_ensemble.py` says.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from data_contracts.errors import ConfigError
from models.reward.answer_likelihood import LikelihoodWeights, read_weights
from models.reward.ensemble import Ensemble, other_members, read_ensemble


@dataclass(frozen=True)
class RewardCombination:
    """How the scores of a folder's heads become rewards."""

    folders: tuple[Path, ...]  # one per member, the first the folder itself
    likelihood: tuple[LikelihoodWeights, ...]  # one per member; empty without the feature
    ensemble: Ensemble | None

    @classmethod
    def of(cls, folder: Path) -> "RewardCombination":
        """Read a reward model's folder.

        Raises:
            ConfigError: a file is broken, a member or the likelihood's base is missing, or only some members have the
                feature.
        """
        ensemble = read_ensemble(folder)
        members = (folder, *other_members(folder, ensemble))
        weights = [read_weights(member, base_in=folder) for member in members]
        found = tuple(weight for weight in weights if weight is not None)
        if found and len(found) < len(members):
            raise ConfigError(
                f"{folder}: {len(found)} of {len(members)} members have the likelihood feature; train the ensemble again"
            )
        return cls(members, found, ensemble)

    def member_scores(self, heads: Sequence[Sequence[float]], means: Sequence[float]) -> list[list[float]]:
        """Scores (members, B) of heads (members, B) and the answers' mean log-probabilities (B,).

        `means` is not read without the likelihood feature.
        """
        if not self.likelihood:
            return [list(row) for row in heads]
        return [
            [weights.combine(head, mean) for head, mean in zip(row, means, strict=True)]
            for weights, row in zip(self.likelihood, heads, strict=True)
        ]

    def combine(self, scores: Sequence[Sequence[float]]) -> list[float]:
        """Members' scores (members, B) as one each, (B,)."""
        import torch

        return list(scores[0]) if self.ensemble is None else self.ensemble.combine(torch.tensor(scores)).tolist()
