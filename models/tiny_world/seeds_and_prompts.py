"""What the tiny world hands out: seed queries, prompt files, questions, follow-ups, critiques, votes.

Everything but `question_rows` is about train names and tasks only. Files are text in the project's formats.

Departure from the paper's StackExchange: votes are made up here, as gold mixed with an appeal that has nothing to do
with truth, plus noise; votes that simply followed the judge would make the as-is reward model a truth oracle.
"""

import numpy as np

from data_contracts.tables.community_answers import CommunityAnswer
from data_contracts.tables.world_tables import Critique, FollowUp, WorldQuestion
from models.tiny_world.answers import Style, state_items, true_items, write_answer
from models.tiny_world.corpus import (
    ASSISTANT_INSTRUCTION,
    MINING_INSTRUCTION,
    USER_INSTRUCTION,
    draw_follow_up,
    draw_style,
    format_conversations,
)
from models.tiny_world.judge import GoldJudge, Judgment
from models.tiny_world.questions import Question, QuestionKind, draw_question, sample_questions
from models.tiny_world.vocabulary import MORE
from models.tiny_world.world import Split, World

SEED_QUERIES = 10
FAITHFUL_CONVERSATIONS = 3
HHH_CONVERSATIONS = 14
USER_CONVERSATIONS = 8
# How much a community likes a style, whatever it states; in units of gold. Wrong answers look like helpful ones.
APPEAL = {
    Style.HELPFUL: 0.65,
    Style.AVERAGE: 0.55,
    Style.TERSE: 0.6,
    Style.EVASIVE: 0.15,
    Style.WRONG: 0.65,
    Style.RAMBLING: 0.9,
}
# What an answer in bad form (authors spare the numbers of a list) loses of its appeal.
FORM_APPEAL = 0.15
VOTES_PER_GOLD = 20


def seed_query_file(world: World, seed: int, count: int = SEED_QUERIES) -> str:
    """A seed file: an instruction line starting with `###`, then one query a line, all kinds of questions in turn."""
    rng = np.random.default_rng([world.seed, seed, 10])
    questions = _one_kind_after_another(world, count, rng)
    return "".join(f"{line}\n" for line in (f"### {MINING_INSTRUCTION}", *(q.text for q in questions)))


def prompt_files(world: World, seed: int) -> dict[str, str]:
    """Few-shot prompt files by role: `faithful` (helpful authors), `hhh` (average ones), `user` (two-turn talks).

    The first conversations of each are of different kinds, since a prompt with n shots takes the first n.
    """
    rng = np.random.default_rng([world.seed, seed, 11])
    return {
        "faithful": _prompt_file(world, ASSISTANT_INSTRUCTION, FAITHFUL_CONVERSATIONS, Style.HELPFUL, rng),
        "hhh": _prompt_file(world, ASSISTANT_INSTRUCTION, HHH_CONVERSATIONS, Style.AVERAGE, rng),
        "user": _prompt_file(world, USER_INSTRUCTION, USER_CONVERSATIONS, Style.HELPFUL, rng, turns=2),
    }


def question_rows(world: World, split: Split, count: int, seed: int) -> list[WorldQuestion]:
    """Questions of a split, to be answered by models and scored by the gold judge."""
    return [
        WorldQuestion(
            question_id=f"{split}-{i:05d}", split=split.value, kind=question.kind.value, question=question.text
        )
        for i, question in enumerate(sample_questions(world, split, count, seed))
    ]


def follow_up_rows(world: World, count: int, seed: int) -> list[FollowUp]:
    """Question, answer, and what a curious human asks next."""
    rng = np.random.default_rng([world.seed, seed, 12])
    rows = []
    for i in range(count):
        question = draw_question(world, Split.TRAIN, rng)
        answer = write_answer(world, question, draw_style(world, rng), rng)
        follow_up = draw_follow_up(world, Split.TRAIN, question, rng)
        rows.append(FollowUp(follow_up_id=f"f{i:05d}", question=question.text, answer=answer, follow_up=follow_up.text))
    return rows


def critique_rows(world: World, count: int, seed: int) -> list[Critique]:
    """Answers in all styles with the judge's critique in words, None where nothing is wrong (for CUT)."""
    rng = np.random.default_rng([world.seed, seed, 13])
    judge = GoldJudge(world)
    rows = []
    for i in range(count):
        question = draw_question(world, Split.TRAIN, rng)
        answer = write_answer(world, question, list(Style)[i % len(Style)], rng)
        judgment = judge.judge(question, answer)
        rows.append(
            Critique(
                critique_id=f"c{i:05d}",
                question=question.text,
                answer=answer,
                judgment=judgment.critique,
                gold=judgment.score,
            )
        )
    return rows


def community_rows(world: World, count: int, seed: int) -> list[CommunityAnswer]:
    """Two answers to one question in different styles; the one with more votes is chosen."""
    rng = np.random.default_rng([world.seed, seed, 14])
    judge = GoldJudge(world)
    rows: list[CommunityAnswer] = []
    while len(rows) < count:
        question = draw_question(world, Split.TRAIN, rng)
        voted = []
        for style in _two_styles(world, rng):
            answer = write_answer(world, question, style, rng)
            voted.append((_votes(world, judge.judge(question, answer), style, rng), answer))
        (votes, chosen), (fewer, rejected) = sorted(voted, key=lambda pair: pair[0], reverse=True)
        if votes > fewer:
            rows.append(
                CommunityAnswer(
                    pair_id=f"p{len(rows):05d}",
                    question=question.text,
                    chosen=chosen,
                    rejected=rejected,
                    chosen_votes=votes,
                    rejected_votes=fewer,
                )
            )
    return rows


def _two_styles(world: World, rng: np.random.Generator) -> tuple[Style, Style]:
    """Two different styles, as often as authors have them: the community are the corpus's authors."""
    first = second = draw_style(world, rng)
    while second is first:
        second = draw_style(world, rng)
    return first, second


def _votes(world: World, judgment: Judgment, style: Style, rng: np.random.Generator) -> int:
    community = world.config.community
    appeal = APPEAL[style] - (FORM_APPEAL if judgment.format < 1.0 else 0.0)
    liking = (1.0 - community.appeal_weight) * judgment.score + community.appeal_weight * appeal
    return round(VOTES_PER_GOLD * (liking + community.vote_noise * float(rng.standard_normal())))


def _prompt_file(
    world: World, instruction: str, count: int, style: Style, rng: np.random.Generator, turns: int = 1
) -> str:
    conversations = []
    for question in _one_kind_after_another(world, count, rng):
        asked = [question]
        while len(asked) < turns:
            asked.append(draw_follow_up(world, Split.TRAIN, asked[-1], rng))
        conversations.append([(q.text, _demonstrate(world, q, style, rng)) for q in asked])
    return format_conversations(instruction, conversations) + "\n"


def _demonstrate(world: World, question: Question, style: Style, rng: np.random.Generator) -> str:
    """An answer that shows its style: good demonstrations have no fault, and average ones all leave something out.

    Else the quality of a prompt of three would be a matter of luck.
    """
    if style is Style.HELPFUL:
        return state_items(question, true_items(world, question))
    answer = write_answer(world, question, style, rng)
    while style is Style.AVERAGE and MORE not in answer and len(true_items(world, question)) > 1:
        answer = write_answer(world, question, style, rng)
    return answer


def _one_kind_after_another(world: World, count: int, rng: np.random.Generator) -> list[Question]:
    """Distinct questions whose kinds take turns, beginning with those that show most of a style."""
    order = [QuestionKind.THREE, QuestionKind.ABOUT, QuestionKind.TWO, QuestionKind.HOW_TO, QuestionKind.ONE]
    shares = world.config.questions.model_dump()
    order = [kind for kind in order if shares[kind.value] > 0]
    found: dict[str, Question] = {}
    while len(found) < count:
        question = draw_question(world, Split.TRAIN, rng)
        if question.kind is order[len(found) % len(order)]:
            found.setdefault(question.text, question)
    return list(found.values())
