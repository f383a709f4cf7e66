"""Off-topic answers (a failure signature of ALMoST's notes), found without a judge: by likelihood under the base model.

An answer belongs to its question when the question makes it likelier than other questions of the set do. It is off topic
when one of a few others, drawn by seed, makes it at least as likely. Two limits: with k others, an answer that has
nothing to do with any question is found in k of k + 1 cases; and a base model that does not read its questions finds
everything off topic at that rate.
"""

from collections.abc import Sequence

import numpy as np

from data_contracts.conversation import Role, Turn
from data_contracts.tables.topic_scores import TopicScore
from data_contracts.tables.verdicts import ModelAnswer
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


def topic_rows(engine: Engine, answers: Sequence[ModelAnswer], number: int, seed: int) -> list[TopicScore]:
    """A score per answer, in their order; the answers may be of any subjects."""
    questions = {answer.question_id: answer.question for answer in answers}
    others = [other_questions(answer.question_id, list(questions), number, seed) for answer in answers]
    contexts = [
        [_context(questions[name]) for name in (answer.question_id, *drawn)]
        for answer, drawn in zip(answers, others, strict=True)
    ]
    skipped = [_why_not(engine, answer.answer, own) for answer, own in zip(answers, contexts, strict=True)]
    asked = [
        (context, [f" {answer.answer.strip()}"])
        for answer, own, why in zip(answers, contexts, skipped, strict=True)
        if why is None
        for context in own
    ]
    scores = iter(found[0] for found in engine.score_many(asked))
    rows = []
    for answer, drawn, own, why in zip(answers, others, contexts, skipped, strict=True):
        found = tuple(next(scores) for _ in own) if why is None else None
        rows.append(
            TopicScore(
                answer_id=answer.answer_id,
                subject=answer.subject,
                question_id=answer.question_id,
                own_logprob=found[0] if found else None,
                other_question_ids=tuple(drawn),
                other_logprobs=found[1:] if found else None,
                off_topic=is_off_topic(found[0], found[1:]) if found else None,
                skipped_because=why,
            )
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
