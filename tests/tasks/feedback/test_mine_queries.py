"""Query mining: the screen by hand, the shots, and a whole step with a random model, killed and resumed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_contracts.config.engine import EngineConfig
from data_contracts.config.mining import Mining
from data_contracts.errors import ConfigError, EmptyResultError
from data_contracts.finish_reason import FinishReason
from data_contracts.handles import ModelHandle, PromptHandle
from data_contracts.rows.rows import rows_of
from data_contracts.store.artifact_store import Store
from data_contracts.tables.evaluation_texts import EvaluationText
from data_contracts.tables.mined_lines import MinedLine
from data_contracts.tables.queries import Query, RejectedQuery
from models.prompts.few_shot_prompt import SeedQueries
from models.text.overlap import OverlapIndex
from models.text.rouge_l_index import rouge_tokens
from tasks.feedback.mine_queries import QueryScreen, choose_shots, mine_queries
from tasks.feedback.mined_queries import MinedQueries
from tasks.runtime.context import use_store
from tests.tasks.conftest import MADE_BY_A_TEST, query

SEEDS = SeedQueries("Ask.", ("What pet does Mira have today?", "Tell me about Tovik."), "digest")


def screen(mining: Mining | None = None, evaluation: list[tuple[str, str]] | None = None) -> QueryScreen:
    return QueryScreen(mining or Mining(), SEEDS, OverlapIndex(evaluation or [], 13))


def mined_line(attempt: int, text: str, finish_reason: FinishReason) -> MinedLine:
    return MinedLine(
        line_id=f"l{attempt:07d}", attempt=attempt, seed=7, shots=(), line=text, tokens=3, finish_reason=finish_reason
    )


def judge(judged: QueryScreen, *lines: str, finish_reason: FinishReason = FinishReason.STOP) -> list[str]:
    """What becomes of each line: 'kept' or the reason."""
    results = []
    for text in lines:
        before = len(judged.kept)
        judged.judge(mined_line(judged.judged, text, finish_reason))
        results.append("kept" if len(judged.kept) > before else judged.rejected[-1].rejected_because.value)
    return results


# --- the screen -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "result"),
    [
        ("How do planes fly?", "kept"),
        ("Draw a picture of a cat.", "bad_word"),
        ("Draw a PICTURE, please.", "bad_word"),
        ("Which graph fits best?", "bad_word"),
        ("Where is Hollywood's videotape museum?", "kept"),
        ("What is a photograph?", "kept"),
        ("Write one paragraph on geography.", "kept"),
        ("Imagine a new town.", "kept"),
        ("", "malformed"),
        ("...?", "malformed"),
        ("12 34 _", "malformed"),
        ("Was ist Überfluß?", "kept"),
        ("这是什么？", "kept"),
    ],
)
def test_shape_and_whole_bad_words(line: str, result: str):
    assert judge(screen(), line) == [result]


def test_bad_words_may_hold_any_signs_and_may_be_none():
    assert judge(screen(Mining(bad_words=("c++", ".png"))), "Teach me C++!", "Open a.png", "Open .png") == [
        "bad_word", "kept", "bad_word",
    ]  # fmt: skip
    assert judge(screen(Mining(bad_words=())), "Draw a picture.") == ["kept"]


def test_a_line_that_hit_the_token_limit_is_too_long_whatever_it_says():
    assert judge(screen(), "How do planes fly", finish_reason=FinishReason.LENGTH) == ["too_long"]
    assert judge(screen(), "", finish_reason=FinishReason.LENGTH) == ["malformed"]
    assert judge(screen(), "How do planes fly?", finish_reason=FinishReason.END) == ["kept"]


def test_a_tie_at_the_limit_stays_and_falls_with_drop_ties():
    """'a b c d' against 'a b x y': LCS 2, F = 2*2 / 8 = exactly 0.5. One more common word: 6/8 > 0.5."""
    assert judge(screen(), "a b c d", "a b x y") == ["kept", "kept"]
    assert judge(screen(Mining(drop_ties=True)), "a b c d", "a b x y") == ["kept", "duplicate"]
    assert judge(screen(), "a b c d", "a b c y") == ["kept", "duplicate"]


def test_a_duplicate_names_its_nearest_query_and_the_score():
    judged = screen()
    assert judge(judged, "How do planes fly today?", "Where is the sea?", "How do planes fly now?") == [
        "kept", "kept", "duplicate",
    ]  # fmt: skip
    (row,) = judged.rejected
    assert row.nearest_query_id == "q0000000"
    assert row.nearest_rouge_l == pytest.approx(0.8)  # 4 of 5 and 5 words in common order
    assert row.rejection_id == "r0000002"
    assert (row.attempt, row.seed, row.query) == (2, 7, "How do planes fly now?")


def test_a_rejected_line_does_not_stand_in_the_way_of_later_ones():
    assert judge(screen(), "Draw a picture of the sea", "Draw a portrait of the sea") == ["bad_word", "kept"]


def test_a_failed_line_is_turned_away_as_failed_whatever_it_says():
    assert judge(screen(), "", "How do planes fly?", finish_reason=FinishReason.FAILED) == ["failed"] * 2


def test_queries_of_an_earlier_pool_count_in_the_dedup():
    judged = screen()
    judged.know(rows_of(Query, [query(3, "How do planes fly today?")]))
    assert judge(judged, "How do planes fly now?", "Where is the sea?") == ["duplicate", "kept"]
    assert judged.rejected[0].nearest_query_id == "earlier-q3"


def test_seeds_count_in_the_dedup_unless_told_otherwise():
    judged = screen()
    assert judge(judged, "Tell me about Tovik!") == ["duplicate"]
    assert judged.rejected[0].nearest_query_id == "seed-1"
    assert judge(screen(Mining(seeds_in_dedup=False)), "Tell me about Tovik!") == ["kept"]


def test_a_query_that_overlaps_an_evaluation_set_is_turned_away():
    judged = screen(evaluation=[("mmlu#3", "Who wrote the long poem?")])
    assert judge(judged, "who wrote the long poem", "Who wrote the short poem") == ["evaluation_overlap", "kept"]
    assert judged.rejected[0].evidence == "mmlu#3"
    assert judged.kept[0].decontamination_checked is True
    unchecked = screen()
    judge(unchecked, "Who wrote the long poem?")
    assert unchecked.kept[0].decontamination_checked is False


LINES = st.lists(st.text("abcde ", max_size=12) | st.sampled_from(["a graph", "Tell me about Tovik."]), max_size=12)


@given(LINES, st.sampled_from([0.3, 0.5, 0.8, 1.0]), st.booleans())
def test_every_line_ends_in_exactly_one_table_and_kept_ones_are_apart(lines: list[str], limit: float, ties: bool):
    judged = screen(Mining(rouge_l=limit, drop_ties=ties))
    judge(judged, *lines)
    assert len(judged.kept) + len(judged.rejected) == judged.judged == len(lines)
    Query.to_table(judged.kept)
    RejectedQuery.to_table(judged.rejected)
    known = [rouge_tokens(query) for query in SEEDS.queries]
    for row in judged.kept:
        tokens = rouge_tokens(row.query)
        for other in known:
            score = 2 * common(tokens, other) / max(1, len(tokens) + len(other))
            assert score < limit if ties else score <= limit + 1e-12
        known.append(tokens)


def common(first: list[str], second: list[str]) -> int:
    """Length of the longest common subsequence, the textbook way."""
    row = [0] * (len(second) + 1)
    for a in first:
        row, above = [0], row
        for place, b in enumerate(second):
            row.append(above[place] + 1 if a == b else max(row[place], above[place + 1]))
    return row[-1]


# --- shots ------------------------------------------------------------------------------------------------------


@given(st.integers(0, 20), st.integers(0, 5), st.integers())
def test_shots_are_different_members_of_the_pool_drawn_by_seed(size: int, number: int, seed: int):
    pool = [(f"q{n}", f"query {n}") for n in range(size)]
    shots = choose_shots(pool, number, abs(seed))
    assert len(shots) == min(size, number) == len(set(shots))
    assert set(shots) <= set(pool)
    assert shots == choose_shots(pool, number, abs(seed))


def test_another_seed_draws_other_shots():
    pool = [(f"q{n}", f"query {n}") for n in range(50)]
    assert len({tuple(choose_shots(pool, 3, seed)) for seed in range(20)}) > 15


# --- the step ---------------------------------------------------------------------------------------------------

MINING = Mining(
    queries=5, static_shots=2, dynamic_shots=1, round_prompts=4, max_new_tokens=12, max_attempts_per_query=8
)
ENGINE = EngineConfig(batch_size=4)


@pytest.fixture
def seeds() -> PromptHandle:
    lines = ["### Ask.", "What pet does Mira have?", "Tell me about Tovik.", "Who is Sanel?", "How do I bake bread?"]
    return PromptHandle(name="seed_queries", digest="s", text="\n".join(lines), source="seeds.txt")


@pytest.fixture
def arguments(seeds: PromptHandle, tiny_model: ModelHandle) -> dict[str, Any]:
    """Everything that the step takes but the evaluation texts."""
    return {"seeds": seeds, "miner": tiny_model, "mining": MINING, "engine": ENGINE, "seed": 1}


@pytest.fixture
def mine(arguments: dict[str, Any]) -> Callable[..., MinedQueries]:
    """Mine without a store."""

    def run(mining: Mining = MINING, seed: int = 1) -> MinedQueries:
        changed = arguments | {"mining": mining, "seed": seed}
        mined = mine_queries.fn(evaluation_texts=rows_of(EvaluationText, []), **changed)
        Query.to_table(mined.queries)
        RejectedQuery.to_table(mined.rejected)
        MinedLine.to_table(mined.lines)
        return mined

    return run


@pytest.fixture
def mine_in_store(
    compute: Callable[..., Any], stored: Callable[..., Any], arguments: dict[str, Any]
) -> Callable[..., Any]:
    """Mine as a step of a run."""
    texts = stored(EvaluationText, [])

    def run(mining: Mining = MINING) -> Any:
        return compute(mine_queries, evaluation_texts=texts, **(arguments | {"mining": mining}))

    return run


def test_the_step_mines_and_accounts_for_every_line(mine: Callable[..., MinedQueries]):
    mined = mine()
    queries, rejected = list(mined.queries), list(mined.rejected)
    lines = {line.attempt: line for line in mined.lines}
    assert len(queries) == MINING.queries
    judged = sorted(row.attempt for row in (*queries, *rejected))
    assert judged == list(range(len(judged))), "the lines up to the last kept one were judged, each once"
    assert all(lines[row.attempt].line.strip() == row.query for row in queries)
    assert list(lines) == list(range(len(mined.lines)))
    assert len(lines) % MINING.round_prompts == 0
    known = {f"seed-{n}" for n in range(4)} | {row.query_id for row in queries}
    for line in lines.values():
        assert len(line.shots) == MINING.dynamic_shots
        assert set(line.shots) <= known
        seen_before = {int(shot[1:]) for shot in line.shots if shot.startswith("q")}
        assert all(at < line.attempt // 4 * 4 for at in seen_before), "a shot was mined in an earlier round"


def test_a_round_that_finds_more_than_was_asked_for_keeps_the_first_ones(mine: Callable[..., MinedQueries]):
    wide = MINING.model_copy(update={"round_prompts": 16})
    many, few = mine(wide), mine(wide.model_copy(update={"queries": 2}))
    assert len(few.queries) == 2
    assert list(few.queries) == list(many.queries)[:2]
    assert len(few.lines) == 16, "lines behind the last kept query are stored, and not judged"


def contents(mined: MinedQueries) -> tuple[list[Any], ...]:
    return list(mined.queries), list(mined.rejected), list(mined.lines)


def test_another_seed_mines_other_queries_and_the_same_seed_the_same(mine: Callable[..., MinedQueries]):
    first = contents(mine())
    assert contents(mine()) == first
    assert [row.query for row in mine(seed=2).queries] != [row.query for row in first[0]]


def test_a_killed_run_resumes_from_its_rounds_with_the_same_bytes(
    mine: Callable[..., MinedQueries],
    mine_in_store: Callable[..., Any],
    arguments: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    complete = mine_in_store()
    assert contents(complete) == contents(mine()), "with a store or without one"
    rounds = len(complete.lines) // MINING.round_prompts
    assert rounds >= 2
    fresh = Store(str(tmp_path / "other"))
    written: list[int] = []
    write_shard = fresh.write_shard

    def dies_at_second(contract: Any, key: str, shard: int, table: Any) -> Any:
        if contract is MinedLine:
            if len(written) == 1:
                raise KeyboardInterrupt
            written.append(shard)
        return write_shard(contract, key, shard, table)

    with use_store(fresh):
        texts = fresh.commit_rows("texts", rows_of(EvaluationText, []), MADE_BY_A_TEST)
        given = mine_queries.bind(evaluation_texts=texts, **arguments)
        monkeypatch.setattr(fresh, "write_shard", dies_at_second)
        with pytest.raises(KeyboardInterrupt):
            mine_queries.compute(given)
        assert written == [0]
        assert mine_queries.find(**given) is None
        written.clear()
        monkeypatch.setattr(fresh, "write_shard", lambda *args: (written.append(args[2]), write_shard(*args))[1])
        mine_queries.compute(given)
        assert mine_queries.find(**given) == complete
        assert written.count(0) == 2, "round 0 came from the store; shard 0 of two other tables was written"


def test_when_the_attempts_run_out_fewer_queries_are_kept_with_a_warning(
    mine: Callable[..., MinedQueries], caplog: pytest.LogCaptureFixture
):
    mined = mine(MINING.model_copy(update={"queries": 8, "max_attempts_per_query": 1.0}))
    assert 0 < len(mined.queries) < 8
    assert len(mined.queries) + len(mined.rejected) == 8
    assert "of 8 queries after 8 generations" in caplog.text


def test_when_nothing_is_kept_the_step_says_why_and_leaves_no_manifest(mine_in_store: Callable[..., Any], store: Store):
    hopeless = MINING.model_copy(update={"max_new_tokens": 1, "max_attempts_per_query": 1.0})
    expected = r"mine_queries: none of 8 generations was kept \(malformed, too_long\); look at the rejected queries"
    with pytest.raises(EmptyResultError, match=expected) as raised:
        mine_in_store(hopeless)
    assert raised.value.exit_code == 2
    assert not list(Path(store.url).glob("queries@1/*/manifest.json"))


def test_a_mining_prompt_that_does_not_fit_is_named_with_both_lengths(mine_in_store: Callable[..., Any], store: Store):
    with pytest.raises(
        ConfigError,
        match=r"mining attempt \d, shots .*: prompt \d has \d+ tokens and asks for 250 new ones, .* holds 256",
    ):
        mine_in_store(MINING.model_copy(update={"max_new_tokens": 250}))
    assert not list(Path(store.url).glob("mined_lines@1/*/*"))
