"""Prompt files: the project's own, the released ones, and files with mistakes."""

import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_contracts.conversation import Role, Turn
from data_contracts.errors import ConfigError
from models.prompts.few_shot_prompt import (
    ASSISTANT_STOPS,
    BUILTIN_PROMPTS,
    assistant_suffix,
    load_prompt_set,
    load_seed_queries,
    mining_prefix,
    mining_suffix,
    parse_prompt_set,
    parse_seed_queries,
    user_suffix,
)

SMALL = "Be kind.\n\n-----\n\nHuman:  Hi there\n\nAssistant: Hello!\n\nHow are you?\n\n-----\n\nHuman: A\n\nAssistant: B\n\nHuman: C\n\nAssistant: D\n"


def human(text: str) -> Turn:
    return Turn(Role.HUMAN, text)


def assistant(text: str) -> Turn:
    return Turn(Role.ASSISTANT, text)


def released(name: str) -> Path:
    path = Path(os.environ.get("ALMOST_DATA", "../shared/data")) / "prompts" / name
    if not path.is_file():
        pytest.skip(f"{path} is absent; set ALMOST_DATA to the shared data folder")
    return path


def test_a_small_file_by_hand() -> None:
    prompts = parse_prompt_set("small", SMALL, "small.txt")
    assert prompts.instruction == "Be kind."
    assert prompts.conversations == (
        (human("Hi there"), assistant("Hello!\n\nHow are you?")),
        (human("A"), assistant("B"), human("C"), assistant("D")),
    )
    assert prompts.prefix(0) == "Be kind.\n\n-----\n\n"
    assert prompts.prefix(1) == (
        "Be kind.\n\n-----\n\nHuman: Hi there\n\nAssistant: Hello!\n\nHow are you?\n\n-----\n\n"
    )
    assert prompts.prefix(2).startswith(prompts.prefix(1))
    assert parse_prompt_set("small", prompts.prefix(2), "again").conversations == prompts.conversations


def test_suffixes_end_with_the_next_speakers_marker() -> None:
    talk = (human("q"), assistant("a"), human("why?"))
    assert assistant_suffix(talk) == "Human: q\n\nAssistant: a\n\nHuman: why?\n\nAssistant:"
    assert user_suffix(talk[:2]) == "Human: q\n\nAssistant: a\n\nHuman:"


def test_mining_prompt_by_hand() -> None:
    text = mining_prefix("Ask.", ["one", "two"]) + mining_suffix(["three"])
    assert text == "Ask.\n\nQuery: one\nQuery: two\nQuery: three\nQuery:"
    assert mining_suffix([]) == "Query:"


@pytest.mark.parametrize(("name", "count"), [("hhh", 14), ("faithful", 3), ("user", 14)])
def test_the_projects_own_conversations(name: str, count: int) -> None:
    prompts = load_prompt_set(BUILTIN_PROMPTS / f"{name}.txt")
    assert prompts.name == name
    assert len(prompts.conversations) == count
    for conversation in prompts.conversations:
        assert conversation[0].role is Role.HUMAN
        assert conversation[-1].role is Role.ASSISTANT
        for turn in conversation:
            assert not any(stop in f"\n{turn.text}\n" for stop in ASSISTANT_STOPS)
    assert sum(len(c) > 2 for c in prompts.conversations) >= (1 if name == "faithful" else 6)


def test_the_user_set_is_the_hhh_set_under_another_instruction() -> None:
    hhh, user = (load_prompt_set(BUILTIN_PROMPTS / f"{name}.txt") for name in ("hhh", "user"))
    assert user.conversations == hhh.conversations
    assert user.instruction != hhh.instruction
    assert user.digest != hhh.digest


def test_faithful_answers_are_longer() -> None:
    def mean_length(name: str) -> float:
        turns = [t for c in load_prompt_set(BUILTIN_PROMPTS / f"{name}.txt").conversations for t in c]
        lengths = [len(t.text) for t in turns if t.role is Role.ASSISTANT]
        return sum(lengths) / len(lengths)

    assert mean_length("faithful") > 2 * mean_length("hhh")


def test_own_demonstrations_would_pass_the_heuristic_filter() -> None:
    for name in ("hhh", "faithful"):
        for conversation in load_prompt_set(BUILTIN_PROMPTS / f"{name}.txt").conversations:
            for turn in conversation[1::2]:
                assert not re.search(r"i don't know|i do not know|i'm not sure|i can't answer", turn.text.lower())
                assert not turn.text.lower().startswith("well")


def test_the_projects_own_seed_queries() -> None:
    seeds = load_seed_queries(BUILTIN_PROMPTS / "seed_queries.txt")
    assert len(seeds.queries) == 10
    assert seeds.instruction.startswith("Instruction:")
    assert seeds.first(7) == seeds.queries[:7]
    with pytest.raises(ConfigError, match="11 seed queries were asked for, but the file has 10"):
        seeds.first(11)


@pytest.mark.parametrize(("name", "count"), [("HHH_prompt.txt", 14), ("Faithful_prompt.txt", 3)])
def test_released_prompt_files_parse(name: str, count: int) -> None:
    prompts = load_prompt_set(released(name))
    assert len(prompts.conversations) == count
    assert all(turn.text == turn.text.strip() for c in prompts.conversations for turn in c)
    assert prompts.conversations[0][0].text.startswith("I was wondering, is it actually important")


def test_the_human_may_have_the_last_word() -> None:
    prompts = parse_prompt_set("x", "I.\n-----\nHuman: q\n\nAssistant: a\n\nHuman: Thanks!\n-----\n", "x")
    assert prompts.prefix(1).endswith("Human: Thanks!\n\n-----\n\n")


def test_released_seed_file_parses() -> None:
    seeds = load_seed_queries(released("seed_prompts.txt"))
    assert seeds.instruction == "Instruction: Please generate initial query to start conversation with bot."
    assert len(seeds.queries) == 100
    assert seeds.queries[0] == "Can you help me figure out how to create an online store for my small business?"


def test_seed_files_without_instruction_and_with_repeats() -> None:
    seeds = parse_seed_queries("\ufeffone\n\n  two \none\n", "s.txt")
    assert seeds.queries == ("one", "two")
    assert seeds.instruction
    for empty in ("", "\n\n", "### only an instruction\n"):
        with pytest.raises(ConfigError, match=r"s\.txt: no queries"):
            parse_seed_queries(empty, "s.txt")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no instruction"),
        ("Only an instruction.", "no conversations"),
        ("Instruction.\n-----\n\n-----\n", "no conversations"),
        ("Human: q\n\nAssistant: a\n", "line 1 begins a conversation"),
        ("I.\n-----\nHuman: q\nHuman: r\nAssistant: a", "line 4 is 'Human:', expected 'Assistant:'"),
        ("I.\n-----\nAssistant: a\n", "line 3 is 'Assistant:', expected 'Human:'"),
        ("I.\n-----\nHuman: q\n\n-----\n", "the conversation at line 3 has no 'Assistant:' turn"),
        ("I.\n-----\nstray words\nHuman: q\nAssistant: a", "line 3 should begin a conversation"),
        ("I.\n-----\nHuman: q\n\nAssistant:\n\n-----", "'Assistant:' turn at line 5 is empty"),
    ],
)
def test_mistakes_are_named_with_file_and_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)) as caught:
        parse_prompt_set("mine", text, "mine.txt")
    assert str(caught.value).startswith("mine.txt: ")
    assert caught.value.exit_code == 2


def test_missing_and_binary_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.txt"):
        load_prompt_set(tmp_path / "nowhere.txt")
    (tmp_path / "picture.txt").write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_seed_queries(tmp_path / "picture.txt")


@pytest.mark.parametrize("shots", [-1, 3])
def test_more_shots_than_conversations(shots: int) -> None:
    with pytest.raises(ConfigError, match=f"'small' has 2 conversations, but {shots} shots"):
        parse_prompt_set("small", SMALL, "small.txt").prefix(shots)


WORDS = st.text("abc .!?\n", min_size=1, max_size=20).map(str.strip).filter(bool)


@given(
    st.lists(st.lists(WORDS, min_size=2, max_size=6).filter(lambda turns: len(turns) % 2 == 0), min_size=1, max_size=4)
)
def test_what_is_laid_out_parses_back(talks: list[list[str]]) -> None:
    conversations = tuple(tuple(human(t) if i % 2 == 0 else assistant(t) for i, t in enumerate(talk)) for talk in talks)
    laid_out = "\n-----\n".join(["I."] + [user_suffix(c).removesuffix("Human:") for c in conversations])
    assert parse_prompt_set("x", laid_out, "x").conversations == conversations
