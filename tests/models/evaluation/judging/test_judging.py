"""A/B judging: replies read, verdicts added up by hand, intervals that hold, length that is taken out."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_contracts.tables.verdicts import JudgeVerdict, Order, Outcome
from models.evaluation.judging.judge_reply import parse_reply
from models.evaluation.judging.judges import JudgePrompt, JudgeReply
from models.evaluation.judging.length_control import length_controlled_win_rate
from models.evaluation.judging.reply_journal import ask_missing, read_journal
from models.evaluation.judging.verdict_arithmetic import WORTH, combine, summarise_verdicts
from models.evaluation.statistics.intervals import Estimate, estimate_mean


@pytest.mark.parametrize(
    ("reply", "scores"),
    [
        ("8 7\nThe first is fuller.", (8, 7)),
        ("  8.5  10 \n\nBecause.", (8.5, 10)),
        ("Scores: 8, 7", (8, 7)),
        ("8/10 7/10\nFine.", (8, 7)),
        ("(9, 1)", (9, 1)),
        ("**8 7**", (8, 7)),
        ("1 10", (1, 10)),
        ("8,7\nBoth.", None),
        ("11/10\nWow.", None),
        ("11 7", None),
        ("0 5", None),
        ("8 7 6", None),
        ("8", None),
        ("", None),
        ("I cannot judge people's answers.", None),
        ("Assistant 1 is better, 8 against 7.", None),
        ("eight seven", None),
        ("-3 5", (3, 5)),
    ],
)
def test_replies(reply: str, scores: tuple[float, float] | None):
    parsed = parse_reply(reply)
    assert parsed.scores == scores
    assert (parsed.problem is None) == (scores is not None)


@given(st.text(max_size=80))
def test_any_text_is_scores_or_a_reason(reply: str):
    parsed = parse_reply(reply)
    assert (parsed.scores is None) == (parsed.problem is not None)
    if parsed.scores is not None:
        assert all(1 <= score <= 10 for score in parsed.scores)


def verdict(question: str, order: str, outcome: str, chars: tuple[int, int] = (10, 10)) -> JudgeVerdict:
    told, readable = Outcome(outcome), outcome != "unparsable"
    return JudgeVerdict(
        verdict_id=f"{question}:{order}", question_id=question, category=None, question="?", subject_a="a",
        subject_b="b", order=Order(order), answer_a_chars=chars[0], answer_b_chars=chars[1],
        score_a=5.0 if readable else None, score_b=5.0 if readable else None, outcome=told,
        unparsable_because=None if readable else "empty reply", explanation="", raw_reply="", prompt_tokens=None,
        reply_tokens=None,
    )  # fmt: skip


def test_arithmetic_by_hand():
    """q1 wins both; q2 wins and ties: a win; q3 flips: a tie; q4 loses both; q5 has an unreadable order."""
    told = {
        "q1": ("win", "win"), "q2": ("win", "tie"), "q3": ("win", "loss"), "q4": ("loss", "loss"),
        "q5": ("win", "unparsable"),
    }  # fmt: skip
    found = summarise_verdicts(
        verdict(question, order, outcome)
        for question, outcomes in told.items()
        for order, outcome in zip(("AB", "BA"), outcomes, strict=True)
    )
    assert found.per_order[Order.AB] == Counter(win=4, loss=1)
    assert found.per_order[Order.BA] == Counter(win=1, tie=1, loss=2, unparsable=1)
    assert found.combined == Counter(win=2, tie=1, loss=1, unparsable=1)
    assert found.win_rate is not None
    assert (found.win_rate.value, found.win_rate.items) == ((2 + 1.5 + 1 + 0) / 8, 4)
    assert found.flip_rate is not None
    assert (found.flip_rate.value, found.flip_rate.items) == (0.25, 4)
    assert found.first_place is not None  # decided: q1 1 of 2, q2 1 of 1, q3 2 of 2, q4 1 of 2; per question
    assert found.first_place.value == pytest.approx((0.5 + 1 + 1 + 0.5) / 4)


def test_nothing_readable_gives_no_rates():
    found = summarise_verdicts([verdict("q", order, "unparsable") for order in ("AB", "BA")])
    assert found.combined == Counter(unparsable=1)
    assert found.reasons == {"empty reply": 2}
    assert found.win_rate is found.flip_rate is found.length_controlled is found.first_place is None


@given(st.sampled_from(list(Outcome)), st.sampled_from(list(Outcome)))
def test_orders_count_alike(one: Outcome, other: Outcome):
    assert combine(one, other) is combine(other, one)


def simulate(rng: np.random.Generator, quality: float, length: float, place: float, pairs: int) -> list[JudgeVerdict]:
    """A judge that likes quality, length and the first place, each by so many nats; A's answers are longer."""
    rows = []
    for number in range(pairs):
        a, b = int(rng.normal(600, 150)), int(rng.normal(450, 150))
        own = rng.normal(0, 0.7)
        for order, side in (("AB", 1), ("BA", -1)):
            chance = 1 / (1 + np.exp(-(quality + own + length * np.tanh((a - b) / 200) + place * side)))
            outcome = "tie" if rng.random() < 0.1 else "win" if rng.random() < chance else "loss"
            rows.append(verdict(f"q{number}", order, outcome, (a, b)))
    return rows


def test_the_interval_of_the_win_rate_covers_the_truth():
    """80 questions, both orders, a judge with tastes: 93 to 97% of 1,200 intervals hold the expected rate."""
    rng = np.random.default_rng(3)
    draws = [summarise_win_rate(simulate(rng, 0.3, 0.5, 0.4, 80)) for _ in range(1200)]
    truth = float(np.mean([found.value for found in draws]))
    held = sum(found.low <= truth <= found.high for found in draws) / len(draws)
    assert 0.93 <= held <= 0.97


def summarise_win_rate(verdicts: list[JudgeVerdict]) -> Estimate:
    return estimate_mean([WORTH[one.outcome] for one in verdicts], [one.question_id for one in verdicts])


def test_length_control_takes_a_planted_bias_out():
    """Equally good answers, a judge that likes long ones: raw far above a half, controlled at a half."""
    found = summarise_verdicts(simulate(np.random.default_rng(5), quality=0.0, length=2.0, place=0.5, pairs=400))
    assert found.win_rate is not None
    assert found.length_controlled is not None
    assert found.win_rate.low > 0.6
    assert found.length_controlled.low < 0.5 < found.length_controlled.high
    better = summarise_verdicts(simulate(np.random.default_rng(6), quality=1.0, length=2.0, place=0.5, pairs=400))
    assert better.length_controlled is not None
    assert better.length_controlled.low > 0.6


def test_length_control_without_a_difference_is_the_win_rate():
    won = [1.0, 1.0, 0.0, 0.0, 0.5, 0.5, 1.0, 1.0] * 20
    pairs = [str(place // 2) for place in range(len(won))]
    found = length_controlled_win_rate(won, [0.0] * len(won), [place % 2 == 0 for place in range(len(won))], pairs)
    assert found is not None
    assert found.value == pytest.approx(np.mean(won), abs=0.01)
    assert length_controlled_win_rate([1.0, 1.0], [0, 0], [True, False], ["q", "q"]) is None


class Counting:
    """A judge that dies after some replies."""

    rows_at_once = 2

    def __init__(self, dies_after: int) -> None:
        self.asked: list[str] = []
        self.dies_after = dies_after

    def ask(self, prompts: Sequence[JudgePrompt], keep: Callable[[JudgePrompt, JudgeReply], None]) -> None:
        if len(self.asked) >= self.dies_after:
            raise ConnectionError("the server is gone")
        self.asked += [prompt.key for prompt in prompts]
        for prompt in prompts:
            keep(prompt, JudgeReply(f"8 7\n{prompt.key}", 3, 2))


def test_a_rerun_asks_for_the_missing_replies_only(tmp_path: Path):
    prompts = [JudgePrompt(f"q{n}", "?", "a", "b", "text", n) for n in range(7)]
    journal, heard = tmp_path / "judge" / "replies.jsonl", []
    first, second = Counting(dies_after=4), Counting(dies_after=99)
    with pytest.raises(ConnectionError):
        ask_missing(journal, lambda: first, prompts, heard.append)
    with journal.open("a") as torn:
        torn.write('{"key": "q4", "te')  # a process that died while writing
    replies, now = ask_missing(journal, lambda: second, prompts, heard.append)
    assert first.asked == ["q0", "q1", "q2", "q3"]
    assert second.asked == ["q4", "q5", "q6"]
    assert now == 3
    assert [reply.text for reply in replies] == [f"8 7\nq{n}" for n in range(7)]
    assert heard == [0, 1, 2, 3, 4, 4, 5, 6, 7]
    again, now = ask_missing(journal, lambda: pytest.fail("nothing is missing"), prompts, heard.append)
    assert (again, now) == (replies, 0)
    assert len(read_journal(journal)) == 7
