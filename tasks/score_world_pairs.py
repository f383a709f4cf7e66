"""Pair accuracy of a reward model on answers that the tiny world's authors wrote (ALMoST Table 3, in miniature).

The paper measures its reward model on preference data of others; here these are two authors' answers to a test question,
labelled by gold. The responders' own answers are a harder test: which of them is better is mostly a matter of facts.
"""

import numpy as np

from data_contracts.artifact import Artifact
from data_contracts.evaluations import Evaluations
from data_contracts.folder_contracts import Checkpoint
from data_contracts.sections import EngineConfig
from data_contracts.world_config import WorldConfig
from data_contracts.world_tables import WorldQuestions
from models.tiny_world.answers import write_answer
from models.tiny_world.corpus import draw_style
from models.tiny_world.judge import GoldJudge
from models.tiny_world.questions import parse_question
from models.tiny_world.world import build_world
from tasks.evaluate_reward_model import LEAST_GOLD_DIFFERENCE, write_pairs
from tasks.judge_by_gold import TEST_SPLIT
from tasks.step import step
from tasks.step_context import read

AUTHORS_DRAWN = 20  # tries to find two answers that differ in gold


@step(version="1")
def score_world_pairs(
    reward_model: Artifact[Checkpoint],
    questions: Artifact[WorldQuestions],
    world: WorldConfig,
    world_seed: int,
    engine: EngineConfig,
) -> Artifact[Evaluations]:
    """A pair of authors' answers to each test question; subjects `reward` and `longer_wins`, as `score_gold_pairs`."""
    facts = build_world(world, world_seed)
    judge, rng = GoldJudge(facts), np.random.default_rng([world_seed, 15])
    rows, gold = [], {}
    for row in read(WorldQuestions, questions).to_pylist():
        question = parse_question(row["question"])
        if row["split"] != TEST_SPLIT or question is None:
            continue
        for _ in range(AUTHORS_DRAWN):
            answers = [write_answer(facts, question, draw_style(facts, rng), rng) for _ in range(2)]
            scores = [judge.judge(question, answer).score for answer in answers]
            if abs(scores[0] - scores[1]) >= LEAST_GOLD_DIFFERENCE:
                break
        else:
            continue
        for side, answer, score in zip("ab", answers, scores, strict=True):
            name = f"{row['question_id']}-{side}"
            gold[name] = score
            rows.append(
                {"query_id": row["question_id"], "response_id": name, "query": row["question"], "response": answer}
            )
    return write_pairs(reward_model, engine, rows, gold)
