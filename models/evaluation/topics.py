"""Off-topic answers (a failure signature of ALMoST's notes), found without a judge: by likelihood under the base model.

An answer belongs to its question when the question makes it likelier than other questions of the set do. It is off topic
when one of a few others, drawn by seed, makes it at least as likely. Two limits: with k others, an answer that has
nothing to do with any question is found in k of k + 1 cases; and a base model that does not read its questions finds
everything off topic at that rate.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from data_contracts.conversation import Role, Turn
from models.engines.protocol import Engine
from models.prompts.few_shot_prompt import assistant_suffix
from models.seeding import derive_seed


def is_off_topic(own: float, others: Sequence[float]) -> bool:
    """Whether another question makes the answer at least as likely as its own."""
    return max(others) >= own


def other_questions(question_id: str, all_ids: Sequence[str], number: int, seed: int) -> list[str]:
    """`number` other questions, the same for every model's answer to this one."""
    others = [name for name in dict.fromkeys(all_ids) if name != question_id]
    drawn = np.random.default_rng(derive_seed(seed, "topic", question_id)).permutation(len(others))[:number]
    return [others[place] for place in drawn]


def topic_rows(engine: Engine, answers: Sequence[dict[str, Any]], number: int, seed: int) -> list[dict[str, Any]]:
    """Rows of `TopicScores`, in the order of the answers (rows of `Answers`, of any subjects)."""
    questions = {row["question_id"]: row["question"] for row in answers}
    others = [other_questions(row["question_id"], list(questions), number, seed) for row in answers]
    contexts = [
        [_context(questions[name]) for name in (row["question_id"], *drawn)]
        for row, drawn in zip(answers, others, strict=True)
    ]
    skipped = [_why_not(engine, row["answer"], own) for row, own in zip(answers, contexts, strict=True)]
    asked = [
        (context, [f" {row['answer'].strip()}"])
        for row, own, why in zip(answers, contexts, skipped, strict=True)
        if why is None
        for context in own
    ]
    scores = iter(found[0] for found in engine.score_many(asked))
    rows: list[dict[str, Any]] = []
    for row, drawn, own, why in zip(answers, others, contexts, skipped, strict=True):
        found = [next(scores) for _ in own] if why is None else None
        rows.append(
            {"answer_id": row["answer_id"], "subject": row["subject"], "question_id": row["question_id"]}
            | {"own_logprob": found and found[0], "other_question_ids": drawn, "other_logprobs": found and found[1:]}
            | {"off_topic": is_off_topic(found[0], found[1:]) if found else None, "skipped_because": why}
        )
    return rows


def _context(question: str) -> str:
    return assistant_suffix([Turn(Role.HUMAN, question)])


def _why_not(engine: Engine, answer: str, contexts: Sequence[str]) -> str | None:
    if not answer.strip():
        return "the answer is empty"
    if len(contexts) < 2:
        return "there is no other question"
    longest = max(engine.count_tokens(f"{context} {answer.strip()}") for context in contexts)
    if longest > engine.context_length:
        return f"{longest:,} tokens, the base model's context holds {engine.context_length:,}"
    return None
