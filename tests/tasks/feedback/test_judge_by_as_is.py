"""The as-is reward model's veto, by hand and with a real model."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from data_contracts.config.engine import EngineConfig
from data_contracts.errors import EmptyResultError
from data_contracts.folder_contracts import RewardCheckpoint
from data_contracts.rows.rows import rows_of
from data_contracts.store.stored import Folder, LocalFolder
from data_contracts.tables.comparisons import Comparison, DropReason, FilterVerdict
from tasks.feedback import judge_by_as_is as module
from tasks.feedback.judge_by_as_is import judge_by_as_is

KEEP, DROP, NOT_JUDGED = FilterVerdict.KEEP, FilterVerdict.DROP, FilterVerdict.NOT_JUDGED
NOWHERE = LocalFolder(RewardCheckpoint, Path("nowhere"))


class Scripted:
    """Stands where the reward model is opened: rewards by the answer's text."""

    def __init__(self, rewards: dict[str, float]) -> None:
        self.rewards = rewards

    def score(self, conversations: list[Any]) -> list[float]:
        return [self.rewards[turns[-1].text] for turns in conversations]


def comparisons(*kept: bool) -> list[Comparison]:
    """One comparison per query, A's answer over B's; a refusal where it was not kept."""
    return [
        Comparison(
            comparison_id=f"q{n}-A>B", query_id=f"q{n}", query="Who?", chosen_response_id=f"q{n}-A",
            rejected_response_id=f"q{n}-B", chosen=f"It is A{n}.", rejected=f"It is B{n}.", chosen_responder="A",
            rejected_responder="B", chosen_rank=1, rejected_rank=2, verdict_words=KEEP if keep else DROP,
            dropped_because=None if keep else DropReason.REFUSAL,
        )
        for n, keep in enumerate(kept)
    ]  # fmt: skip


def judge(rows: list[Comparison], as_is: Folder[RewardCheckpoint] = NOWHERE) -> list[Comparison]:
    found = judge_by_as_is.fn(comparisons=rows_of(Comparison, rows), as_is=as_is, engine=EngineConfig())
    judged = list(found)
    Comparison.to_table(judged)
    return judged


def test_the_veto_by_hand(monkeypatch: pytest.MonkeyPatch):
    """Margins 2, 0 and -1: a tie is no agreement. A comparison that was dropped before is not judged, nor scored."""
    rewards = {"A0": 3.0, "B0": 1.0, "A1": 1.0, "B1": 1.0, "A2": 0.0, "B2": 1.0}
    scripted = Scripted({f"It is {name}.": reward for name, reward in rewards.items()})
    monkeypatch.setattr(module, "open_reward_model", lambda *_: scripted)
    rows = judge(comparisons(True, True, True, False))
    assert [row.as_is_margin for row in rows] == [2.0, 0.0, -1.0, None]
    assert [row.verdict_as_is for row in rows] == [KEEP, DROP, DROP, NOT_JUDGED]
    assert [row.dropped_because for row in rows] == [
        None, DropReason.AS_IS_DISAGREES, DropReason.AS_IS_DISAGREES, DropReason.REFUSAL,
    ]  # fmt: skip
    assert [row.kept for row in rows] == [True, False, False, False]
    assert rows[2].evidence == "margin -1.0000"


def test_a_veto_of_everything_says_what_to_do(monkeypatch: pytest.MonkeyPatch):
    names = [f"It is {side}{n}." for side in "AB" for n in range(2)]
    monkeypatch.setattr(module, "open_reward_model", lambda *_: Scripted(dict.fromkeys(names, 0.0)))
    with pytest.raises(EmptyResultError, match=r"set as_is\.enabled=false"):
        judge(comparisons(True, True))


def test_a_real_model_judges_every_kept_comparison(reward_checkpoint: Folder[RewardCheckpoint]):
    pairs = comparisons(*[True] * 12, False)
    for n in range(6):  # so that no taste of the model can agree with all of them, nor with none
        pairs[n] = replace(pairs[n], chosen=pairs[n].rejected, rejected=pairs[n].chosen)
    rows = judge(pairs, reward_checkpoint)
    assert sum(row.verdict_as_is is NOT_JUDGED for row in rows) == 1
    assert all(row.as_is_margin is not None and (row.as_is_margin > 0) == row.kept for row in rows[:-1])
