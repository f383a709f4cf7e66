"""Several reward models as one: the folder of a combined checkpoint, and how the members' scores become one score.

A pair's loss says nothing of a score's level, so members differ by a constant each; `shifts` take every member's mean over
the same answers off before scores are compared. `mean` is then their average, `worst` the lowest: where the members
disagree, an answer is worth only what all of them grant (Coste et al. 2023, worst-case optimisation). Not in ALMoST.

The folder is the first member's own, which plain transformers loads, with the others under `members/`. With the likelihood
feature each member has a learnt weight of its own; the frozen base is the same for all and lies in the folder once.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from data_contracts.config.reward import EnsembleScore
from data_contracts.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

SETTINGS_FILE, MEMBERS_FOLDER = "ensemble.json", "members"


class Ensemble(BaseModel):
    """What `ensemble.json` holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    score: EnsembleScore
    shifts: tuple[FiniteFloat, ...] = Field(min_length=1, description="Each member's mean score of the same answers")

    def combine(self, scores: "Tensor") -> "Tensor":
        """Scores (members, B) of the same rows as one score each, (B,)."""
        level = scores - scores.new_tensor(self.shifts).unsqueeze(1)
        match self.score:
            case EnsembleScore.MEAN:
                return level.mean(dim=0)
            case EnsembleScore.WORST:
                return level.amin(dim=0)


def read_ensemble(folder: Path) -> Ensemble | None:
    """The settings of a combined checkpoint; None for a single reward model.

    Raises:
        ConfigError: members are missing.
    """
    path = folder / SETTINGS_FILE
    if not path.is_file():
        return None
    found = Ensemble.model_validate_json(path.read_text(encoding="utf-8"))
    missing = [member for member in other_members(folder, found) if not (member / "config.json").is_file()]
    if missing:
        raise ConfigError(f"{folder} is an ensemble of {len(found.shifts)}, but {missing[0]} holds no model")
    return found


def other_members(folder: Path, ensemble: Ensemble | None) -> Sequence[Path]:
    """Folders of all members but the first, which is the folder itself."""
    return [folder / MEMBERS_FOLDER / str(number) for number in range(1, len(ensemble.shifts))] if ensemble else []
