"""Pair accuracy of a reward model on preference files of other people (ALMoST Table 3).

A row's `option_scores` are the rewards of (better, worse); `value` is 1 when the better one scores higher, .5 on a tie.
"""

from pathlib import Path

from data_contracts.config.engine import EngineConfig
from data_contracts.errors import ConfigError
from data_contracts.handles import FileHandle, ModelHandle
from data_contracts.rows.rows import Rows, rows_of
from data_contracts.tables.evaluations import LONGER_WINS, EvaluatedItem, evaluated_item
from models.evaluation.benchmarks.preferences import FIELD, read_preference_file, turns_group
from tasks.runtime.context import count
from tasks.runtime.loaded_models import open_reward_model
from tasks.runtime.phases import Phase
from tasks.runtime.step import step


@step(version="3", phase=Phase.EVALUATION, run_name="{file.name}")
def score_preference_file(
    *, file: FileHandle, rows: int | None, subject: str, model: ModelHandle, engine: EngineConfig
) -> Rows[EvaluatedItem]:
    """Accuracy on a file of HH-RLHF's format, and of "the longer one wins" on the same pairs (Table 3).

    A pair with a side that is longer than the model's positions keeps its row and says so.

    Raises:
        ConfigError: no pair of the file fits the reward model's context.
    """
    scorer = open_reward_model(model, engine)
    pairs, unusable = read_preference_file(Path(file.path), rows)
    fits = [scorer.fits(better) and scorer.fits(worse) for better, worse in pairs]
    count(pairs=sum(fits), pairs_too_long=len(pairs) - sum(fits), unusable_pairs=unusable)
    if not any(fits):
        raise ConfigError(f"{FIELD}: no pair of {file.path} fits the reward model's context")
    rewards = iter(scorer.score([side for pair, fit in zip(pairs, fits, strict=True) if fit for side in pair]))
    items: list[EvaluatedItem] = []
    for number, (pair, fit) in enumerate(zip(pairs, fits, strict=True)):
        about = {"benchmark": f"preferences:{file.name}", "item_id": f"{number:06d}", "prompt": pair[0][-2].text}
        about |= {"metric": "accuracy", "group": turns_group(pair)}
        if fit:
            lengths = float(len(pair[0][-1].text)), float(len(pair[1][-1].text))
            items.append(compared(subject, (next(rewards), next(rewards)), about))
            items.append(compared(LONGER_WINS, lengths, about))
        else:
            reason = f"a side is longer than the model's {scorer.max_length} positions"
            items.append(evaluated_item(subject=subject, value=None, skipped_because=reason, **about))
    return rows_of(EvaluatedItem, items)


def compared(subject: str, scores: tuple[float, float], about: dict[str, str]) -> EvaluatedItem:
    """The row of a pair whose sides (better, worse) have these scores; `about` says which pair it is."""
    value = 0.5 if scores[0] == scores[1] else float(scores[0] > scores[1])
    return evaluated_item(subject=subject, value=value, option_scores=scores, correct_option=0, **about)
