"""Pair accuracy of a reward model on pairs of answers that the tiny world's gold judge labels (ALMoST Table 3, but for the judge).

An item's `option_scores` are the rewards of (better, worse); `value` is 1 when the better one scores higher, .5 on a tie.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from data_contracts.config.engine import EngineConfig
from data_contracts.config.world import WorldConfig
from data_contracts.conversation import Conversation, Role, Turn
from data_contracts.folder_contracts import RewardCheckpoint
from data_contracts.rows.rows import Rows, stream
from data_contracts.store.stored import Folder
from data_contracts.tables.evaluations import LONGER_WINS, EvaluatedItem, evaluated_item
from data_contracts.tables.responses import Response
from data_contracts.tables.reward_scores import PairSplit, RewardScore
from data_contracts.tables.world_tables import WorldQuestion
from models.tiny_world.answers import write_answer
from models.tiny_world.corpus import draw_style
from models.tiny_world.judge import GoldJudge
from models.tiny_world.questions import parse_question
from models.tiny_world.world import Split, build_world
from tasks.runtime.loaded_models import open_reward_model
from tasks.runtime.phases import Phase
from tasks.runtime.step import step

LEAST_GOLD_DIFFERENCE = 0.01  # half of what the judge takes off for the least fault, a hedge
CLEAR_GOLD_DIFFERENCE = 0.05  # more than a hedge alone
CLEAR, SLIGHT = "clear", "slight"
BENCHMARK_GOLD_PAIRS = "reward_gold_pairs"
BENCHMARK_LONGER = "longer_gold_pairs"
AUTHORS_DRAWN = 20  # tries to find two authors whose answers differ in gold


@dataclass(frozen=True)
class GoldAnswer:
    """An answer to a question, with its gold score."""

    answer_id: str
    question_id: str
    question: str
    answer: str
    gold: float

    @property
    def conversation(self) -> Conversation:
        """Question and answer, as a reward model reads them."""
        return Turn(Role.HUMAN, self.question), Turn(Role.ASSISTANT, self.answer)


@step(version="5", phase=Phase.EVALUATION)
def score_gold_pairs(
    *,
    reward_model: Folder[RewardCheckpoint],
    heldout: Rows[RewardScore],
    responses: list[Rows[Response]],
    gold: Rows[EvaluatedItem],
    engine: EngineConfig,
) -> Rows[EvaluatedItem]:
    """Accuracy on pairs of responses to the RM's held-out queries, labelled by gold; beside it, "longer wins".

    An item's group says whether gold differs by `CLEAR_GOLD_DIFFERENCE` (`clear`) or by less (`slight`).
    """
    queries = {score.query_id for score in heldout if score.split is PairSplit.HELDOUT}
    golds = {item.item_id: item.value for item in gold if item.value is not None}
    answers = [
        GoldAnswer(one.response_id, one.query_id, one.query, one.response, golds[one.response_id])
        for table in responses
        for one in table
        if one.query_id in queries and one.response_id in golds and one.response.strip()
    ]
    return _score_pairs(reward_model, engine, answers)


@step(version="4", phase=Phase.EVALUATION)
def score_answer_pairs(
    *, reward_model: Folder[RewardCheckpoint], answers: list[Rows[EvaluatedItem]], engine: EngineConfig
) -> Rows[EvaluatedItem]:
    """As `score_gold_pairs`, on gold-judged answers of several models to one list of questions."""
    judged = [
        GoldAnswer(item.evaluation_id, item.item_id, item.prompt, item.output, item.value)
        for table in answers
        for item in table
        if item.value is not None and item.output is not None and item.output.strip()
    ]
    return _score_pairs(reward_model, engine, judged)


@step(version="9", phase=Phase.EVALUATION)
def score_world_pairs(
    *,
    reward_model: Folder[RewardCheckpoint],
    questions: Rows[WorldQuestion],
    world: WorldConfig,
    world_seed: int,
    engine: EngineConfig,
) -> Rows[EvaluatedItem]:
    """As `score_gold_pairs`, on two authors' answers to each test question of the tiny world.

    The paper measures its reward model on preference data of others. The responders' own answers are a harder test:
    which of them is better is mostly a matter of facts.
    """
    return _score_pairs(reward_model, engine, list(_written_pairs(questions, world, world_seed)))


def _written_pairs(questions: Iterable[WorldQuestion], config: WorldConfig, world_seed: int) -> Iterator[GoldAnswer]:
    """Two answers to each test question, in the styles of two authors, that differ in gold."""
    world = build_world(config, world_seed)
    judge, rng = GoldJudge(world), np.random.default_rng([world_seed, 15])
    for asked in questions:
        question = parse_question(asked.question)
        if asked.split != Split.TEST or question is None:
            continue
        for _ in range(AUTHORS_DRAWN):
            answers = [write_answer(world, question, draw_style(world, rng), rng) for _ in range(2)]
            golds = [judge.judge(question, answer).score for answer in answers]
            if abs(golds[0] - golds[1]) >= LEAST_GOLD_DIFFERENCE:
                break
        else:
            continue
        for side, answer, score in zip("ab", answers, golds, strict=True):
            yield GoldAnswer(f"{asked.question_id}-{side}", asked.question_id, asked.question, answer, score)


def _score_pairs(
    reward_model: Folder[RewardCheckpoint], engine: EngineConfig, answers: Sequence[GoldAnswer]
) -> Rows[EvaluatedItem]:
    """Score all answers, and compare every two answers to one question whose gold differs."""
    rewards = open_reward_model(reward_model, engine).score([answer.conversation for answer in answers])
    reward = dict(zip((answer.answer_id for answer in answers), rewards, strict=True))
    return stream(EvaluatedItem, lambda: (item for pair in gold_pairs(answers) for item in _items(*pair, reward)))


def gold_pairs(answers: Iterable[GoldAnswer]) -> Iterator[tuple[GoldAnswer, GoldAnswer]]:
    """(better, worse) answers to one question whose gold differs by `LEAST_GOLD_DIFFERENCE` or more."""
    by_question: dict[str, list[GoldAnswer]] = {}
    for answer in answers:
        by_question.setdefault(answer.question_id, []).append(answer)
    for own in by_question.values():
        for better, worse in combinations(sorted(own, key=lambda answer: -answer.gold), 2):
            if better.gold - worse.gold >= LEAST_GOLD_DIFFERENCE:
                yield better, worse


def _items(better: GoldAnswer, worse: GoldAnswer, reward: Mapping[str, float]) -> Iterator[EvaluatedItem]:
    """What the reward model says of a pair, and what "the longer one wins" says."""
    group = CLEAR if better.gold - worse.gold >= CLEAR_GOLD_DIFFERENCE else SLIGHT
    scores = {
        (BENCHMARK_GOLD_PAIRS, "reward"): (reward[better.answer_id], reward[worse.answer_id]),
        (BENCHMARK_LONGER, LONGER_WINS): (float(len(better.answer)), float(len(worse.answer))),
    }
    for (benchmark, subject), (first, second) in scores.items():
        yield evaluated_item(
            benchmark,
            subject,
            f"{better.answer_id}>{worse.answer_id}",
            better.question,
            "accuracy",
            0.5 if first == second else float(first > second),
            group=group,
            option_scores=(first, second),
            correct_option=0,
        )
