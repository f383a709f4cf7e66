"""The as-is reward model's veto: a comparison survives only if that model agrees (ALMoST section 2.1)."""

from data_contracts.config.engine import EngineConfig
from data_contracts.conversation import Role, Turn
from data_contracts.errors import EmptyResultError
from data_contracts.folder_contracts import Checkpoint
from data_contracts.store.artifact import Artifact
from data_contracts.tables.comparisons import Comparison, DropReason, FilterVerdict
from tasks.runtime.context import ProgressReporter
from tasks.runtime.loaded_models import open_reward_model
from tasks.runtime.step import step

REPORT_EVERY = 512


@step(version="1")
def judge_by_as_is(
    comparisons: Artifact[Comparison], as_is: Artifact[Checkpoint], engine: EngineConfig
) -> Artifact[Comparison]:
    """Give each kept comparison the as-is reward model's verdict; ties count as disagreement."""
    rows = read(Comparison, comparisons).to_pylist()
    texts = sorted({(r["query"], r[side]) for r in rows if r["kept"] for side in ("chosen", "rejected")})
    scores = _score(texts, as_is, engine)
    for row in rows:
        if not row["kept"]:
            continue
        margin = scores[row["query"], row["chosen"]] - scores[row["query"], row["rejected"]]
        row["as_is_margin"] = margin
        row["verdict_as_is"] = (FilterVerdict.KEEP if margin > 0 else FilterVerdict.DROP).value
        if margin <= 0:
            row["kept"], row["dropped_because"] = False, DropReason.AS_IS_DISAGREES.value
            row["evidence"] = f"margin {margin:.4f}"
    if rows and not any(row["kept"] for row in rows):
        raise EmptyResultError(
            "judge_by_as_is: the as-is reward model disagrees with every comparison; set as_is.enabled=false or "
            "train it on more pairs (as_is.pairs)"
        )
    return write(Comparison, Comparison.from_rows(rows))


def _score(
    texts: list[tuple[str, str]], as_is: Artifact[Checkpoint], engine: EngineConfig
) -> dict[tuple[str, str], float]:
    model = open_reward_model(as_is, engine)
    progress = ProgressReporter(len(texts), "responses")
    scores: dict[tuple[str, str], float] = {}
    for start in range(0, len(texts), REPORT_EVERY):
        chunk = texts[start : start + REPORT_EVERY]
        conversations = [(Turn(Role.HUMAN, query), Turn(Role.ASSISTANT, response)) for query, response in chunk]
        scores |= dict(zip(chunk, model.score(conversations), strict=True))
        progress.update(start + len(chunk))
    return scores
