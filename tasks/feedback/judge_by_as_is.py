"""The as-is reward model's veto: a comparison survives only if that model agrees (ALMoST section 2.1)."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

from data_contracts.config.engine import EngineConfig
from data_contracts.conversation import Role, Turn
from data_contracts.errors import EmptyResultError
from data_contracts.folder_contracts import RewardCheckpoint
from data_contracts.rows.rows import PART_ROWS, Rows, stream
from data_contracts.store.stored import Folder
from data_contracts.tables.comparisons import Comparison, DropReason, FilterVerdict
from models.reward.reward_model import RewardModel
from tasks.runtime.context import ProgressReporter
from tasks.runtime.loaded_models import open_reward_model
from tasks.runtime.phases import Phase
from tasks.runtime.step import step

REPORT_EVERY = 512  # responses


@step(version="2", phase=Phase.COMPARISONS, heavy=True)
def judge_by_as_is(
    *, comparisons: Rows[Comparison], as_is: Folder[RewardCheckpoint], engine: EngineConfig
) -> Rows[Comparison]:
    """Give each kept comparison the as-is reward model's verdict; ties count as disagreement.

    Raises:
        EmptyResultError: no comparison is left.
    """

    def judged() -> Iterator[Comparison]:
        model, pairs, kept = open_reward_model(as_is, engine), iter(comparisons), 0
        progress = ProgressReporter(len(comparisons), "comparisons")
        done = 0
        while part := list(islice(pairs, PART_ROWS)):
            for comparison in judge_part(part, model):
                kept += comparison.kept
                yield comparison
            done += len(part)
            progress.update(done)
        if done and not kept:
            raise EmptyResultError(
                "judge_by_as_is: the as-is reward model disagrees with every comparison; set as_is.enabled=false or "
                "train it on more pairs (as_is.pairs)"
            )

    return stream(Comparison, judged)


def judge_part(comparisons: list[Comparison], model: RewardModel) -> Iterator[Comparison]:
    """The comparisons with the veto's verdict; each different answer to a query is scored once."""
    kept = [comparison for comparison in comparisons if comparison.kept]
    texts = sorted({(c.query, text) for c in kept for text in (c.chosen, c.rejected)})
    scores: dict[tuple[str, str], float] = {}
    for start in range(0, len(texts), REPORT_EVERY):
        chunk = texts[start : start + REPORT_EVERY]
        conversations = [(Turn(Role.HUMAN, query), Turn(Role.ASSISTANT, response)) for query, response in chunk]
        scores |= dict(zip(chunk, model.score(conversations), strict=True))
    for comparison in comparisons:
        if not comparison.kept:
            yield comparison
            continue
        query = comparison.query
        margin = scores[query, comparison.chosen] - scores[query, comparison.rejected]
        agrees = FilterVerdict.KEEP if margin > 0 else FilterVerdict.DROP
        judged = replace(comparison, as_is_margin=margin, verdict_as_is=agrees)
        yield (
            judged
            if judged.kept
            else replace(judged, dropped_because=DropReason.AS_IS_DISAGREES, evidence=f"margin {margin:.4f}")
        )
